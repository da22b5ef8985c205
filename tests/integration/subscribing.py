"""Subscribers, and the links of mails."""

import itertools
import re
from collections.abc import Sequence
from email.message import EmailMessage

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from marketing.models import Subscription

_numbers = itertools.count(1)


def subscriber(email: str = "", topics: Sequence[str] = ("newsletter",), **more: object) -> Subscription:
    """One who has confirmed."""
    email = email or f"reader-{next(_numbers)}@example.com"
    chosen = dict.fromkeys(topics, True)
    return Subscription.objects.create(email=email, confirmed_at=timezone.now(), **chosen, **more)


def customer(email: str = "", verified: bool = True) -> User:
    """One with an account."""
    email = email or f"customer-{next(_numbers)}@example.com"
    user = User.objects.create_user(email, email)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=verified)
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def plain(mail: EmailMessage) -> str:
    return mail.get_body(("plain",)).get_content()


def path(text: str, part: str) -> str:
    """The path of the link in a mail whose address has this part."""
    (found,) = set(re.findall(rf"https?://[^/\s]+(/[^\s>\"]*{part}[^\s>\"]*)", text))
    return found
