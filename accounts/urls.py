"""The URLs of accounts: our own pages in the namespace `accounts`, and of allauth's only those that the shop has."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps

from allauth.account import views as allauth
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import include, path
from django.views.decorators.http import require_POST

from accounts import contact_page, data_pages, views, webhook_pages
from accounts.access import no_staff


def ours(view: Callable[..., HttpResponseBase], atomic: bool = True) -> Callable[..., HttpResponseBase]:
    """A view for all but staff. Its rows and jobs are one transaction, and a form that it shows again is a 422."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        with transaction.atomic() if atomic else nullcontext():
            response = view(request, *args, **kwargs)
        if request.method == "POST" and response.status_code == 200:
            response.status_code = 422
        return response

    return no_staff(wrapped)


pages = [
    path("", views.overview, name="overview"),
    path("notifications/", contact_page.preferences, name="notifications"),
    path("notifications/browser/", contact_page.browser, name="browser"),
    path("verify/", ours(views.Verify.as_view()), name="verify"),
    path("reset/", ours(views.Reset.as_view()), name="reset"),
    path("webhooks/", webhook_pages.webhooks, name="webhooks"),
    path("webhooks/<int:id>/", webhook_pages.webhook, name="webhook"),
    path("webhooks/<int:id>/<slug:act>/", webhook_pages.act, name="webhook_act"),
    path("webhooks/deliveries/<int:id>/", webhook_pages.delivery, name="webhook_delivery"),
    path("data/", data_pages.data, name="data"),
    path("data/progress/", data_pages.progress, name="progress"),
    path("data/export/", data_pages.export, name="export"),
    path("data/delete/", data_pages.delete, name="delete"),
    path("data/deletion/", data_pages.deletion, name="deletion"),
]

urlpatterns = [
    path("", include((pages, "accounts"))),
    # A busy machine hashes strangers' passwords for longer than PostgreSQL lets a transaction idle.
    path("login/", ours(allauth.login, atomic=False), name="account_login"),
    path("sign-up/", ours(allauth.signup), name="account_signup"),
    path("sign-out/", require_POST(ours(allauth.logout)), name="account_logout"),
    path("email/", ours(allauth.email), name="account_email"),
    path("email/sent/", ours(allauth.email_verification_sent), name="account_email_verification_sent"),
    path("password/", ours(allauth.password_change), name="account_change_password"),
    path("password/forgotten/", ours(allauth.password_reset), name="account_reset_password"),
    path("password/sent/", ours(allauth.password_reset_done), name="account_reset_password_done"),
]
