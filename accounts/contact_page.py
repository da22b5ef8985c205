"""The page on which a customer chooses how we reach them."""

from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import customer_required
from notifications import browsers, push
from notifications.forms import ContactForm
from notifications.models import Contact

HERE = "browser"  # in the session: this browser's subscription, or NONE for a stand-in
STAND_IN = (
    "This browser reaches no push service, as in most demos, so a browser of the push partner stands in for it."
    " Reload the page in a moment. The inbox shows its notifications."
)


@require_http_methods(["GET", "HEAD", "POST"])
@customer_required
def preferences(request: HttpRequest) -> HttpResponse:
    """The form, and this browser's part."""
    user = cast(User, request.user)
    if request.method == "POST":
        form = ContactForm(request.POST, instance=Contact.objects.get_or_create(user=user)[0])
    else:
        form = ContactForm(instance=Contact.objects.filter(user=user).first() or Contact(user=user))
    if form.is_bound and form.is_valid():
        form.save()
        messages.success(request, "Your choice is saved.")
        return redirect("accounts:notifications")
    context = {"form": form, "key": push.public_key(), "browsers": user.push_subscriptions.count()}
    context["here"] = _on_here(request, user)
    return render(request, "accounts/notifications.html", context, status=422 if form.is_bound else 200)


def _on_here(request: HttpRequest, user: User) -> bool:
    """Whether this browser gets notifications, as far as its session knows: it may have been turned on in another."""
    mine = request.session.get(HERE)
    return user.push_subscriptions.filter(**{} if mine == browsers.NONE else {"pk": mine}).exists()


@require_POST
@customer_required
def browser(request: HttpRequest) -> HttpResponse:
    """Turn notifications on in this browser, or off in all."""
    user, subscription = cast(User, request.user), request.POST.get("subscription", "")
    if "off" in request.POST:
        browsers.forget(user)
        request.session.pop(HERE, None)
        messages.success(request, "No browser gets notifications any more. We write by email.")
    elif settings.DEBUG and subscription == browsers.NONE:
        browsers.ask_for_stand_in(user)
        request.session[HERE] = browsers.NONE
        messages.warning(request, STAND_IN)
    else:
        try:
            request.session[HERE] = browsers.subscribe(user, subscription).pk
            messages.success(request, "This browser gets your notifications.")
        except ValidationError as error:
            messages.error(request, error.messages[0])
    return redirect("accounts:notifications")
