"""When a staff member's request counts as theirs: in time, and after the code.

Every guard asks `request.user`: the admin's, that of /ops/, and that of /metrics. So this is the one place to refuse.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from shop.security_events import record
from shop.staff.second_factor import must_verify

SIGNED_IN, SEEN = "staff_signed_in", "staff_seen"  # in the session, seconds since 1970
VERIFIED = "staff_verified"  # in the session: the code has come
FRESH = 600  # seconds after the password in which the code must come, and a device may be enrolled
STEP = 60  # seconds; the session is written once in these, not at each request


class StaffMiddleware:
    """Replace a staff member by an anonymous user, lazily: a page that never asks for the user costs no query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        user = request.user
        request.user = SimpleLazyObject(lambda: admitted(request, user))  # type: ignore[assignment]
        return self.get_response(request)


def admitted(request: HttpRequest, user: Any) -> Any:
    """The user, or an anonymous one for staff whose session is over or who still owe the code."""
    if not user.is_staff:
        return user
    waits = must_verify(user) and not user.is_verified()
    now = int(timezone.now().timestamp())
    if why := over(request, now, waits):
        request.session.flush()
        record("session ended", request, user=user.pk, why=why)
        return AnonymousUser()
    # A page that refreshes itself is no sign of a person.
    if now - request.session[SEEN] >= STEP and "HX-Request" not in request.headers:
        request.session[SEEN] = now
    return AnonymousUser() if waits else user


def over(request: HttpRequest, now: int, waits: bool) -> str:
    """Why the session is over, or "". One that began before its user was staff has no time, and is over."""
    signed_in, seen = request.session.get(SIGNED_IN, 0), request.session.get(SEEN, 0)
    if now - signed_in >= settings.STAFF_SESSION_HOURS * 3600:
        return "age"
    if waits and VERIFIED in request.session:
        return "second factor removed"  # or replaced: a stolen session ends, too
    if waits and now - signed_in >= FRESH:
        return "no code"
    return "idle" if now - seen >= settings.STAFF_IDLE_MINUTES * 60 else ""


def fresh(request: HttpRequest) -> bool:
    """Whether the password came a moment ago."""
    return timezone.now().timestamp() - request.session[SIGNED_IN] < FRESH


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    """Of staff only: a customer's session stays one when its user becomes staff."""
    if not user.is_staff:
        return
    request.session[SIGNED_IN] = request.session[SEEN] = int(timezone.now().timestamp())
