"""The mails of accounts. A person waits for each, so they are jobs on `critical` and are sent as URGENT.

A function that finds nothing left to say sends nothing: the address was verified meanwhile, or the account is gone.
"""

from dataclasses import dataclass

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from accounts import links
from accounts.models import FormerAddress
from notifications import mail


@dataclass(frozen=True)
class Text:
    subject: str
    text: str
    action: str  # the button's words
    reason: str  # why the mail came, in small print


NOT_YOU = "If it was not you, ignore this email: nothing changes."
VERIFY = Text(
    "Confirm your email",
    "Confirm this email for your account. You need the password that you chose. The link works once, for 15 minutes.",
    "Confirm email",
    f"You receive this email because this address was entered for an account. {NOT_YOU}",
)
EXISTS = Text(
    "You already have an account",
    "This email was entered for a new account, but you have one already. Sign in, or reset your password there.",
    "Sign in",
    f"You receive this email because this address was entered for an account. {NOT_YOU}",
)
RESET = Text(
    "Reset your password",
    "Choose a new password. The link works once, for 15 minutes.",
    "Choose a new password",
    f"You receive this email because a new password was asked for. {NOT_YOU}",
)
ADDRESS_CHANGED = Text(
    "Your email was changed",
    "Your account has another email now. This address can no longer sign in, and gets no more emails about it. "
    "If it was not you, answer this email at once.",
    "Go to the shop",
    "You receive this email because this was the address of your account.",
)
PASSWORD_CHANGED = Text(
    "Your password was changed",
    "The password of your account was changed, and all other browsers were signed out. "
    "If it was not you, reset your password at once.",
    "Reset your password",
    "You receive this email because the password of your account was changed.",
)


def send_verification(address: int, slot: int) -> None:
    """The link; or, if another account has verified this address, the word that there is one."""
    wanted = EmailAddress.objects.select_related("user").filter(pk=address, verified=False).first()
    if wanted:
        key = f"verification:{address}-{slot}"
        owner = EmailAddress.objects.filter(email=wanted.email, verified=True).first()
        if owner:
            send(key, owner.email, owner.user_id, EXISTS, settings.SITE_URL + reverse("account_login"))
        else:
            send(key, wanted.email, wanted.user_id, VERIFY, links.verification(wanted))


def send_reset(address: int, slot: str) -> None:
    """To the address by which the person signs in, verified or not: the link proves that the mailbox is theirs."""
    found = EmailAddress.objects.select_related("user").filter(pk=address, primary=True)
    known = found.filter(user__is_staff=False, user__is_active=True).first()
    if known:
        send(f"reset:{address}-{slot}", known.email, known.user_id, RESET, links.reset(known.user))


def send_address_changed(former: int) -> None:
    """To the address that the account had, which is forgotten then."""
    known = FormerAddress.objects.filter(pk=former).first()
    if known:
        send(f"address-changed:{former}", known.email, known.user_id, ADDRESS_CHANGED, settings.SITE_URL)
        known.delete()


def send_password_changed(user: int, at: int) -> None:
    person = User.objects.filter(pk=user, is_active=True).first()
    if person and person.email:
        url = settings.SITE_URL + reverse("account_reset_password")
        send(f"password-changed:{user}-{at}", person.email, user, PASSWORD_CHANGED, url)


def send(key: str, to: str, person: int, text: Text, url: str) -> None:
    mail.send(
        key=key,
        to=to,
        subject=text.subject,
        template="accounts/mail",
        context={"text": text, "url": url},
        patience=mail.URGENT,
        headers={"X-Person": str(person)},  # by it the mail server forgets
    )
