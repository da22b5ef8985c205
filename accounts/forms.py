"""The forms of accounts: allauth's with our words, and without what would tell who has an account."""

from typing import Any

from allauth.account import forms as allauth
from allauth.account.adapter import get_adapter
from allauth.account.fields import PasswordField
from allauth.account.models import EmailAddress
from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from accounts import customers, links, tasks
from accounts.adapter import slot, take_mail
from notifications.addresses import in_ascii
from notifications.forms import TypedForm

LABELS = {
    "login": "Email", "email": "Email", "oldpassword": "Current password", "password": "Password",
    "password1": "Password",
}  # fmt: skip
HELP = {"password1": "12 characters or more"}


class Ours(TypedForm, forms.Form):
    """Labels in place of placeholders."""

    labels: dict[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("password2", None)  # a second field catches no more than the reset mends
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label, field.help_text = (LABELS | self.labels).get(name, field.label), HELP.get(name, "")


class SignInForm(Ours, allauth.LoginForm):
    """Email and password."""

    def clean_login(self) -> str:
        return in_ascii(super().clean_login())

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """Drops allauth's notes, which hold the address: a session outlives an account that is deleted."""
        response = super().login(request, redirect_url)
        for note in ("account_login", "account_authentication_methods"):
            request.session.pop(note, None)
        return response


class SignUpForm(Ours, allauth.SignupForm):
    """Makes a new account whether the address has one or not: the same work, and the same answer. Only the mail
    differs, and only one account can verify the address."""

    def validate_unique_email(self, value: str) -> str:
        return value

    def try_save(self, request: HttpRequest) -> Any:
        """Count it before the password is hashed, which takes long."""
        take_mail(request, self.cleaned_data["email"])
        return super().try_save(request)


class AddressForm(Ours, allauth.AddEmailForm):
    """The address to change to, which may be another's: the mail tells them. The password is asked for because a
    stolen session must not become a stolen account."""

    labels = {"email": "New email"}
    oldpassword = PasswordField(autocomplete="current-password")

    def clean_email(self) -> str:
        email = get_adapter().clean_email(self.cleaned_data["email"])
        if EmailAddress.objects.filter(user=self.user, email=email, verified=True).exists():
            raise get_adapter().validation_error("duplicate_email")
        return email

    def clean_oldpassword(self) -> str:
        return check_own(self.user, self.cleaned_data["oldpassword"])

    def save(self, request: HttpRequest) -> EmailAddress:
        User.objects.select_for_update().get(pk=self.user.pk)  # two changes at once insert one after the other
        return super().save(request)


class PasswordChangeForm(Ours, allauth.ChangePasswordForm):
    """The old password and the new one. Wrong ones count as failed sign-ins."""

    labels = {"password1": "New password"}

    def clean_oldpassword(self) -> str:
        return check_own(self.user, self.cleaned_data["oldpassword"])


class ResetForm(Ours, allauth.ResetPasswordForm):
    """Asks for the link."""

    def clean_email(self) -> str:
        return get_adapter().clean_email(self.cleaned_data["email"])

    def save(self, request: HttpRequest, **_: Any) -> str:
        """One job for a known address or an unknown one. The unknown one gets no mail: a stranger could have us write
        to all the world, and a person without an account reads on the page what to do."""
        email = self.cleaned_data["email"]
        take_mail(request, email)
        known = customers.address_of(email)
        tasks.mail_reset.enqueue(known.pk if known else 0, f"{slot()}-{links.reset_state(known.user) if known else 0}")
        return email


class NewPasswordForm(Ours, allauth.ResetPasswordKeyForm):
    """Behind the link of a reset."""

    labels = {"password1": "New password"}


class PasswordForm(Ours):
    """The password of an account whose address is to be verified. `user` is it, signed in by a backend."""

    password = PasswordField(autocomplete="current-password")

    def __init__(self, request: HttpRequest, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request, self.user = request, user

    def clean_password(self) -> str:
        password = self.cleaned_data["password"]
        found = authenticate(self.request, username=self.user.username, password=password)
        if found is None:
            raise get_adapter().validation_error("enter_current_password")
        self.user = found
        return password


def check_own(user: User, password: str) -> str:
    """The password, if it is this user's. Raises LimitReached, too, as a sign-in."""
    if not get_adapter().reauthenticate(user, password):
        raise get_adapter().validation_error("enter_current_password")
    return password
