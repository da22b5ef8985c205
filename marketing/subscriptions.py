"""Who subscribed to what: double opt-in, unsubscription, and whether a mail is still wanted when it is sent.

A link is made when its mail is sent, and holds an id, no address. A confirmation's is signed over `left_at`: it ends
once its address leaves a topic, so no old one brings back what was left. Several may be open, each for topics of its
own, and each may be used twice. An unsubscription's never ends.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from time import time
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from backroom import Call, Retry, enqueue_all
from marketing.models import Subscription
from notifications import bounces
from notifications.models import Contact

TOPICS = {
    "newsletter": "the newsletter",
    "digest": "the daily digest",
    "reminders": "reminders",
}
ALL = "all"  # stands for each topic in an unsubscription
CONFIRM, LEAVE = "marketing.confirm", "marketing.unsubscribe"  # what a signature is for
HOURS = 48  # for which a confirmation's link works
PAUSE = 600  # seconds; an address gets one such mail of the same topics in each, however often they are asked for
MAIL_CONFIRMATION, PATIENT = "marketing.mail_confirmation", Retry(attempts=16, first=2, cap=600)


def subscribe(email: str, topics: Collection[str], user: User | None = None) -> None:
    """Subscribe a user's own verified address at once, and any other by the link of a mail, which this enqueues. A
    known address gets the same, so the answer tells a stranger nothing."""
    with transaction.atomic():
        subscription, _ = Subscription.objects.get_or_create(email=email.lower())
        if user and owner(email) == user.pk:
            _add(Subscription.objects.filter(pk=subscription.pk), topics, user.pk)
        else:
            asked = ",".join(topic for topic in TOPICS if topic in topics)
            arguments = {"subscription": subscription.pk, "topics": asked, "slot": int(time() // PAUSE)}
            key = "confirm:{subscription}-{topics}-{slot}".format(**arguments)
            enqueue_all(Call(MAIL_CONFIRMATION, arguments, "critical", PATIENT.attempts, key))


def choose(user: Any, email: str, topics: Mapping[str, bool]) -> None:
    """Set the topics of a user, whose own verified address this is."""
    with transaction.atomic():
        Subscription.objects.filter(user=user).exclude(email=email.lower()).delete()
        subscription, _ = Subscription.objects.get_or_create(email=email.lower())
        contact = Contact.objects.filter(user=user).first()
        zone = {"time_zone": contact.time_zone} if contact else {}
        left = any(getattr(subscription, topic) and not chosen for topic, chosen in topics.items())
        changes = {"user": user, "confirmed_at": Now()} | ({"left_at": Now()} if left else {})
        Subscription.objects.filter(pk=subscription.pk).update(**changes, **zone, **topics)


def named(topics: Collection[str]) -> str:
    return " and ".join(TOPICS[topic] for topic in topics)


def owner(email: str) -> int | None:
    """The user who has verified this address."""
    return EmailAddress.objects.filter(email__iexact=email, verified=True).values_list("user_id", flat=True).first()


def confirm_url(subscription: Subscription, topics: str) -> str:
    left = subscription.left_at and subscription.left_at.isoformat()
    token = signing.dumps([subscription.pk, topics, left], salt=CONFIRM)
    return f"{settings.SITE_URL}{reverse('marketing:confirm')}?token={token}"


def asked(token: str) -> tuple[Subscription, list[str]] | None:
    """The subscription and the topics that a confirmation's link is about. None if it is forged or old, or the address
    has left a topic since."""
    try:
        id, topics, left = signing.loads(token, salt=CONFIRM, max_age=HOURS * 3600)
    except signing.BadSignature:
        return None
    its = Subscription.objects.filter(pk=id, left_at=left and datetime.fromisoformat(left)).first()
    return (its, [topic for topic in topics.split(",") if topic in TOPICS]) if its else None


def confirm(token: str) -> bool:
    """Subscribe to the topics of a confirmation's link. False as in `asked`. The address works, so a bounce from
    before is lifted.

    Race: the address leaves a topic meanwhile. That changes `left_at`, and the update finds no row.
    """
    if (found := asked(token)) is None:
        return False
    its, topics = found
    with transaction.atomic():
        unchanged = Subscription.objects.filter(pk=its.pk, left_at=its.left_at)
        done = _add(unchanged, topics, owner(its.email))
        if done:
            bounces.lift(bounces.standing().filter(address=its.email))
        return bool(done)


def _add(its: QuerySet[Subscription], topics: Collection[str], user_id: int | None) -> int:
    return its.update(user=user_id, confirmed_at=Now(), **dict.fromkeys(topics, True))


def unsubscribe_url(subscription: Subscription, topic: str) -> str:
    token = signing.Signer(salt=LEAVE).sign(str(subscription.pk))
    return f"{settings.SITE_URL}{reverse('marketing:unsubscribe', args=[topic])}?token={token}"


def leaving(token: str) -> int | None:
    """The subscription of an unsubscription's link, which may be gone. None if it is forged."""
    try:
        return int(signing.Signer(salt=LEAVE).unsign(token))
    except signing.BadSignature:
        return None


def unsubscribe(token: str, topic: str) -> bool:
    """End a topic, or ALL. False if the link is forged; an address that is long gone is True. The row stays: its id
    says which campaigns it has had."""
    if (id := leaving(token)) is None:
        return False
    topics = dict.fromkeys(TOPICS if topic == ALL else [topic], False)
    Subscription.objects.filter(pk=id).update(left_at=Now(), **topics)
    return True


def wanting(topic: str) -> QuerySet[Subscription]:
    """Those who confirmed and still want mail of this topic, at an address that works."""
    bounced = bounces.standing().filter(address=OuterRef("email"))
    return Subscription.objects.filter(~Exists(bounced), confirmed_at__isnull=False, **{topic: True})


def reader(subscription_id: int, topic: str) -> Subscription | None:
    """The one to mail now, or None: asked when the mail is sent, as they may have left since it was enqueued."""
    return wanting(topic).filter(pk=subscription_id).first()


def of_user(user: Any, topic: str) -> Subscription | None:
    """As `reader`, of a user."""
    return wanting(topic).filter(user=user).order_by("pk").first()
