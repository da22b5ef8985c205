"""The pages of an account that allauth does not have: the overview, and those behind the links of mails."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.account.utils import perform_login
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from django.views.generic import FormView

from accounts import links
from accounts.access import customer_required
from accounts.forms import NewPasswordForm, PasswordForm


@require_safe
@customer_required
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/overview.html")


def link_ended(request: HttpRequest) -> HttpResponse:
    """Of a link that is forged, used, too old or replaced: the page says the same of each."""
    return render(request, "accounts/link_ended.html", status=410)


def verify(request: HttpRequest, address: EmailAddress) -> bool:
    """Verify an address. False if another account has verified it, or does at the same moment."""
    try:
        with transaction.atomic():
            return get_adapter().confirm_email(request, address)
    except IntegrityError:
        return False


class Verify(FormView):
    """The link of a verification. Who opens it has the mailbox; they need the account's password, too.

    Without it, a stranger who signed up with another's address, or changed theirs to it, would have them verify an
    account that the stranger's password opens.
    """

    template_name = "accounts/verify.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        address = links.address_of(request.GET.get("token", ""))
        if address is None:
            return link_ended(request)
        self.address: EmailAddress = address
        self.signed_in = request.user == address.user
        return super().dispatch(request, *args, **kwargs)

    def get_form(self, form_class: type | None = None) -> Form:
        kwargs = self.get_form_kwargs()
        return Form(**kwargs) if self.signed_in else PasswordForm(self.request, self.address.user, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(address=self.address, **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        if not verify(self.request, self.address):
            return link_ended(self.request)
        if isinstance(form, PasswordForm):
            return perform_login(self.request, form.user)
        return redirect("accounts:overview")


class Reset(FormView):
    """The link of a reset. It proves that the mailbox is theirs, so it verifies the address of a new account, too: the
    password that was chosen by who signed up is gone then."""

    template_name, form_class = "accounts/reset.html", NewPasswordForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = links.user_of(request.GET.get("token", ""))
        if user is None:
            return link_ended(request)
        self.user = user
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.user}

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        address = EmailAddress.objects.filter(user=self.user, primary=True, verified=False).first()
        if address and not verify(self.request, address):
            return link_ended(self.request)
        form.save()
        get_adapter().send_notification_mail("password_reset", self.user)
        messages.success(self.request, "Your password is changed. Sign in with it.")
        return redirect("account_login")
