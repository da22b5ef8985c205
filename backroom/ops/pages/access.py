"""Who may see the operations pages, and who may act on jobs there; see backroom/ops/roles.py."""

from collections.abc import Callable
from datetime import UTC
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from backroom.ops.roles import ACT, LOOK

View = Callable[..., HttpResponseBase]


def login_url() -> str:
    """The admin's login, or settings.LOGIN_URL in a project without admin."""
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return resolve_url(settings.LOGIN_URL)


def staff(permission: str) -> Callable[[View], View]:
    """Staff with this permission only. Anonymous visitors go to the login; others get the project's 403. Staff who may
    look get the 403 and the 404 of these pages."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                if request.headers.get("HX-Request"):  # a redirect would show the login form inside the page
                    return HttpResponse(headers={"HX-Redirect": login_url()})
                return redirect_to_login(request.get_full_path(), login_url())
            if not (user.is_active and user.is_staff and user.has_perm(permission)):
                if not (user.is_staff and user.has_perm(LOOK)):
                    raise PermissionDenied
                return render(request, "ops/refused.html", {"refused": True}, status=403)
            try:
                with timezone.override(UTC):  # of the templates, whatever the project's TIME_ZONE; base.html says so
                    return view(request, *args, **kwargs)
            except Http404:
                return render(request, "ops/refused.html", status=404)

        return guarded

    return guard


looks = staff(LOOK)
acts = staff(ACT)


@looks
def missing(request: HttpRequest, address: str) -> HttpResponse:
    """Any other address under /ops/ that ends with a slash: so CommonMiddleware still adds one to an address."""
    raise Http404
