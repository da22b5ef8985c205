"""Who may see the operations pages, and who may act there. The roles stand in backroom/ops/roles.py."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from backroom.ops.roles import ACT, LOOK

View = Callable[..., HttpResponseBase]


def staff(permission: str) -> Callable[[View], View]:
    """Only staff with this permission; the anonymous are sent to the login, others get 403."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                if request.headers.get("HX-Request"):  # logged out meanwhile: no login form within the page
                    return HttpResponseClientRedirect(resolve_url("admin:login"))
                return redirect_to_login(request.get_full_path(), resolve_url("admin:login"))
            if not (user.is_active and user.is_staff and user.has_perm(permission)):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return guard


looks = staff(LOOK)
acts = staff(ACT)
