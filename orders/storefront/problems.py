"""Errors of the API in one shape: RFC 9457, application/problem+json. Nothing of what was sent is echoed."""

import json
import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from backroom.ledger import db_errors
from orders.ordering import checkout

log = logging.getLogger(__name__)

REFUSALS: dict[type[checkout.Refused], tuple[int, str, str]] = {
    checkout.SoldOut: (409, "sold-out", "Not enough in stock"),
    checkout.PriceChanged: (409, "price-changed", "The price has changed"),
    checkout.UnknownProduct: (422, "unknown-product", "Unknown product"),
    checkout.TooLarge: (422, "too-large", "The order is too large"),
    checkout.KeyReused: (422, "key-reused", "The Idempotency-Key names another order"),
}


SAME_KEY = "With the same key it is the same order, charged once, also if it was placed already."
NO_KEY = "Nothing was charged. An Idempotency-Key would let you send an order again safely."


def problem(status: int, kind: str, title: str, detail: str = "", **more: Any) -> HttpResponse:
    """A problem document. `kind` makes its type; "" stands for about:blank, an error that HTTP itself explains."""
    body = {"type": f"urn:backroom:problem:{kind}" if kind else "about:blank", "title": title, "status": status}
    body |= {"detail": detail} if detail else {}
    return HttpResponse(json.dumps(body | more), status=status, content_type="application/problem+json")


def refused(request: HttpRequest, error: checkout.Refused) -> HttpResponse:
    """The order can't be taken, with the product that it is about."""
    status, kind, title = REFUSALS[type(error)]
    return problem(status, kind, title, str(error), **({"product": error.slug} if error.slug else {}))


def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Fields that are wrong, each by its JSON pointer, or by its name in the query or the headers."""
    errors = [{**_place(item["loc"]), "detail": item["msg"].removeprefix("Value error, ")} for item in error.errors]
    return problem(422, "invalid", "The request is not valid", "See errors for each field.", errors=errors)


def _place(loc: tuple) -> dict[str, str]:
    source, *path = loc
    if source != "body":
        return {source: ".".join(map(str, path))}
    # The first step is the name of our own parameter, which the client doesn't know.
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path[1:])
    return {"pointer": "#" + "".join(f"/{step}" for step in steps)}


def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """Our own fault: logged here, and told without details."""
    if db_errors.is_outage(error):
        return unavailable(request, error)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "", "Internal Server Error", "That was our mistake. It is safe to try again with the same key.")


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """The database is in trouble. An order may have been saved although its commit's answer was lost, but nothing is
    charged before that answer; only a key can name an order that was charged by an earlier request."""
    log.error("%s %s: the database is in trouble: %s", request.method, request.path, db_errors.summary(error))
    db_errors.close_connection()
    detail = "Please try again in a moment."
    if request.method == "POST":
        keyed = "Idempotency-Key" in request.headers
        detail += f" {SAME_KEY if keyed else NO_KEY}"
    response = problem(503, "", "Service Unavailable", detail)
    response["Retry-After"] = "5"
    return response


def not_allowed(*methods: str) -> HttpResponse:
    """405 with the methods that would do."""
    response = problem(405, "", "Method Not Allowed", f"Use {' or '.join(methods)}.")
    response["Allow"] = ", ".join(methods)
    return response


HANDLERS: dict[type[Exception], Callable[..., HttpResponse]] = {
    checkout.Refused: refused,
    ValidationError: invalid,
    Exception: failed,
    HttpError: lambda request, error: problem(error.status_code, "", "Bad Request", error.message),
    UnreadablePostError: lambda request, error: problem(400, "", "Bad Request", "The body broke off."),
    Http404: lambda request, error: problem(404, "", "Not Found", "There is nothing here."),
    RequestDataTooBig: lambda request, error: problem(413, "", "Content Too Large", "The body is too large."),
}


def install(api: NinjaAPI) -> None:
    """Give every error of the API this shape."""
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
