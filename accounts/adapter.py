"""What allauth does here: a mail is a job, made of ids in the request's transaction, and the words are ours."""

from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import tasks
from accounts.models import FormerAddress
from backroom.inbound import limits
from backroom.inbound.client import client_of
from notifications.addresses import deliverable, in_ascii

SLOT = 300  # seconds; an address has one mail of a kind in each while its link works, however often it is asked for
WORDS = {  # by the name of allauth's template; it has more messages than a page needs
    "password_changed": "Your password is changed. All other browsers are signed out.",
    "email_confirmed": "Your email is confirmed.",
    "email_deleted": "Your email stays as it is.",
    "logged_out": "You are signed out.",
}


def slot() -> int:
    return int(time() // SLOT)


def take_mail(request: HttpRequest, email: str) -> None:
    """Count a mail that a stranger can cause, whether the address has an account or not. Raises LimitReached."""
    limits.take(request, account_mails_by_client=client_of(request), account_mails_by_email=email.casefold())


class Adapter(DefaultAccountAdapter):
    """Every page answers with HTML; allauth would answer a request for JSON in its own way."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "duplicate_email": "This is your email already.",
        "email_password_mismatch": "The email or the password is wrong, or the email is not confirmed yet.",
        "enter_current_password": "This is not your password.",
    }

    def is_ajax(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """Only a path of ours: another host of the shop may be a stranger's tomorrow."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def populate_username(self, request: HttpRequest, user: User) -> None:  # type: ignore[override]
        """Random: a customer never types it, and staff's names stay theirs."""
        user.username = uuid4().hex

    def clean_email(self, email: str) -> str:
        email = in_ascii(email)
        deliverable(email)
        if len(email) > EmailAddress._meta.get_field("email").max_length:
            raise ValidationError("This email is too long.")
        return email

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return self.get_login_redirect_url(request)

    def add_message(  # type: ignore[override]
        self, request: HttpRequest, level: int, message_template: str = "", *args: Any, **kwargs: Any
    ) -> None:
        words = WORDS.get(Path(message_template).stem)
        if "action_send" in request.POST:
            words = "A link is on its way, or came within the last five minutes."
        if words:
            messages.add_message(request, level, words)

    def send_confirmation_mail(self, request: HttpRequest, emailconfirmation: Any, signup: bool) -> None:
        """A sign-up with an address that has an account comes here, too; the mail then says so (mails.py)."""
        address = emailconfirmation.email_address
        if not signup:  # else the form has counted it
            take_mail(request, address.email)
        tasks.mail_verification.enqueue(address.pk, slot())

    def send_notification_mail(  # type: ignore[override]
        self, template_prefix: str, user: User, context: dict | None = None, email: str = ""
    ) -> None:
        """The old address is kept until its mail is sent: its row of allauth's is gone by then."""
        kind = Path(template_prefix).stem
        if kind == "email_changed":
            tasks.mail_address_changed.enqueue(FormerAddress.objects.create(user=user, email=email).pk)
        elif kind in ("password_changed", "password_reset"):
            tasks.mail_password_changed.enqueue(user.pk, int(time() * 1000))

    def send_mail(self, template_prefix: str, email: str, context: dict) -> None:
        """No other mail leaves: allauth sends within the request, and its jobs would hold addresses."""
        raise NotImplementedError(template_prefix)
