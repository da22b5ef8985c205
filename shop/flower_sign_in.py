"""Limits on wrong passwords at Flower, on the limiter of the shop. A browser sends the password with each request."""

from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from django.dispatch import receiver
from django.http import HttpRequest
from tornado.httputil import HTTPServerRequest
from tornado.web import Finish, HTTPError, RequestHandler

from backroom.inbound import limits
from backroom.inbound.client import client_of

log = structlog.get_logger(__name__)


def limited(check: Callable[[RequestHandler], Any]) -> Callable[[RequestHandler], Any]:
    """Flower's check of the password, with 429 while too many were wrong. A right one does not count, and has to wait
    like the others: its answer would tell it from them."""

    def get_current_user(handler: RequestHandler) -> Any:
        given = handler.request.headers.get("Authorization")
        request = as_django(handler.request)
        try:
            try:
                user = check(handler)
            except HTTPError:
                if given:
                    log.info("security", what="sign-in failed", at="Flower", client=client_of(request))
                    limits.take(request, **subjects(request, given))
                raise
            limits.check(request, **subjects(request, given or ""))
        except limits.LimitReached as full:
            handler.set_status(429)
            handler.set_header("Retry-After", str(full.seconds))
            raise Finish(str(full)) from None
        return user

    return get_current_user


def subjects(request: HttpRequest, authorization: str) -> dict[str, str]:
    account = ""
    with suppress(ValueError, IndexError):
        account = b64decode(authorization.split()[1]).decode().partition(":")[0]
    return {"sign_ins_by_client": client_of(request), "sign_ins_by_account": account}


def as_django(request: HTTPServerRequest) -> HttpRequest:
    """The same request as the limits and `client_of` read it."""
    found = HttpRequest()
    found.META = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
    found.META["REMOTE_ADDR"] = request.remote_ip
    return found


@receiver(limits.reached)
def limit_reached(request: HttpRequest, limit: str, **_: Any) -> None:
    log.info("security", what="limit reached", at="Flower", limit=limit, client=client_of(request))
