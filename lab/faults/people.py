"""People for an experiment, a measurement or a test: readers of a newsletter, and customers with an account.

Their addresses are at DOMAIN, by which `remove` finds them.
"""

import uuid
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import urllib3
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from backroom.ledger.models import Job
from marketing.models import Subscription
from notifications import push
from notifications.models import Channel, Contact, PushSubscription

DOMAIN = "readers.example"
PHONE = "+353861234567"  # a number that the SMS partner delivers to
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def subscribe(count: int) -> list[int]:
    """Add subscribers of the newsletter, who have confirmed. Returns their ids."""
    name, now = uuid.uuid4().hex[:8], timezone.now()
    readers = (
        Subscription(email=f"{name}-{number}@{DOMAIN}", newsletter=True, confirmed_at=now) for number in range(count)
    )
    return [reader.pk for reader in Subscription.objects.bulk_create(readers, batch_size=1000)]


def join(channel: str = Channel.MAIL) -> EmailAddress:
    """Add an account with a verified address, reached by this channel. Returns the address."""
    name = uuid.uuid4().hex
    user = User.objects.create_user(name, f"{name}@{DOMAIN}", "a password to forget")
    if channel != Channel.MAIL:
        Contact.objects.create(user=user, channel=channel, phone=PHONE)
    if channel == Channel.PUSH:
        PushSubscription.objects.create(user=user, **_browser())
    return EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)


def _browser() -> dict[str, str]:
    """A subscription of a browser at the push service."""
    address = f"{settings.BACKROOM_PARTNERS_URL}/push/subscriptions"
    return urllib3.request("POST", address, json={"applicationServerKey": push.public_key()}, timeout=10).json()


def forget_password(site: str, address: EmailAddress) -> str:
    """Ask for a new password, as a browser does. Returns the key of the mail. Raises ValueError if it was refused."""
    url = site + reverse("account_reset_password")
    cookies = SimpleCookie("; ".join(urllib3.request("GET", url, timeout=30).headers.getlist("Set-Cookie")))
    token = next(cookie.value for name, cookie in cookies.items() if name.endswith("csrftoken"))
    headers = {"Cookie": "; ".join(f"{name}={cookie.value}" for name, cookie in cookies.items())}
    form = {"email": address.email, "csrfmiddlewaretoken": token}
    answer = urllib3.request(
        "POST", url, body=urlencode(form), headers=headers | FORM, redirect=False, retries=False, timeout=30
    )
    if answer.status != 302:
        raise ValueError(f"{url} answered {answer.status}: {answer.data[:300]!r}")
    job = Job.objects.filter(task="accounts.mail_reset", args__address=address.pk).latest("created_at")
    return str(job.key)


def remove() -> None:
    """Delete all these people. Jobs that are left find no reader, and send nothing."""
    Subscription.objects.filter(email__endswith=f"@{DOMAIN}").delete()
    User.objects.filter(email__endswith=f"@{DOMAIN}").delete()
