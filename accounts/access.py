"""Who may open the pages of an account: a signed-in customer. Staff have accounts of their own, at /admin/."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase


def no_staff(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view that a signed-in staff member gets a 403 of: no page of customers changes their password or address."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def customer_required(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view for customers; others are asked to sign in first."""
    return no_staff(login_required(view))
