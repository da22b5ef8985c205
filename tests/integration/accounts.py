"""Customers with accounts, and their mails."""

import itertools
import re
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.test import Client

from backroom.ledger.models import LIVE, Job
from tests.integration.buying import attempt
from tests.integration.mailbox import Mailbox

PASSWORD = "seven green apples"
_numbers = itertools.count(1)


def stranger() -> Client:
    """A client from an address that no other test uses, as the broker counts for an hour."""
    number = next(_numbers)
    return Client(REMOTE_ADDR=f"198.51.{number // 250}.{number % 250}")


def fresh() -> str:
    """A mail address that no other test uses; all are of one length, so that answers are."""
    return f"person{next(_numbers):06}@example.com"


def account(email: str, verified: bool = True, password: str = PASSWORD, **flags: bool) -> User:
    user = User.objects.create_user(f"user-{next(_numbers)}", email, password, **flags)
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def sign_up(client: Client, email: str, password: str = PASSWORD):
    return client.post("/accounts/sign-up/", {"email": email, "password1": password})


def sign_in(client: Client, email: str, password: str = PASSWORD, **more: str):
    return client.post("/accounts/login/", {"login": email, "password": password, **more})


def ask_reset(client: Client, email: str):
    return client.post("/accounts/password/forgotten/", {"email": email})


def signed_in(client: Client) -> bool:
    return client.get("/accounts/").status_code == 200


def mails_of(mailbox: Mailbox) -> list:
    """The mails of all account jobs that wait, sent now, in the order of their addresses' ids."""
    mailbox.mails.clear()
    jobs = Job.objects.filter(task__startswith="accounts.mail", state__in=LIVE)
    for job in sorted(jobs, key=lambda job: job.args.get("address", 0)):
        assert attempt(job.key).state == "succeeded"
    return list(mailbox.mails)


def link_in(mail) -> str:
    """The path and query of the mail's link."""
    link = urlsplit(re.search(r"http\S+", mail.get_body(("plain",)).get_content())[0])
    return f"{link.path}?{link.query}"
