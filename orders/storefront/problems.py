"""Errors of the API in one shape: RFC 9457, application/problem+json. They never echo the request."""

import json
import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI, Router
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from backroom import Overloaded
from backroom.inbound.limits import LimitReached
from backroom.ledger import db_errors
from orders.ordering import refusals

log = logging.getLogger(__name__)

REFUSALS: dict[type[refusals.Refused], tuple[int, str, str]] = {
    refusals.SoldOut: (409, "sold-out", "Not enough in stock"),
    refusals.PriceChanged: (409, "price-changed", "The price has changed"),
    refusals.UnknownProduct: (422, "unknown-product", "Unknown product"),
    refusals.NoCarrier: (422, "no-carrier", "No delivery to this country"),
    refusals.TooLarge: (422, "too-large", "The order is too large"),
    refusals.KeyReused: (422, "key-reused", "The Idempotency-Key names another order"),
}

SENTENCES = {  # by pydantic's kind of error, whose own words are for Python's developers
    "extra_forbidden": "This field is unknown.",
    "greater_than_equal": "Send {ge} or more.",
    "int_parsing": "Send a whole number.",
    "int_type": "Send a whole number.",
    "less_than_equal": "Send {le} or less.",
    "list_type": "Send an array.",
    "literal_error": "Send {expected}.",
    "missing": "This field is required.",
    "model_attributes_type": "Send an object.",
    "string_pattern_mismatch": "Send text of the pattern {pattern}",
    "string_type": "Send text.",
    "too_long": "Send at most {max_length} items.",
    "too_short": "Send at least {min_length} items.",
    "value_error": "{error}",
}
MEDIA_TYPE = "application/problem+json"
SAME_KEY = "With the same key it is the same order, charged once, even if it was placed already."
NO_KEY = "Nothing was charged. With an Idempotency-Key, an order can be sent again safely."


def problem(status: int, kind: str, title: str, detail: str = "", **more: Any) -> HttpResponse:
    """A problem document. `kind` makes its type; "" is about:blank, an error that its HTTP status explains."""
    body = {"type": f"urn:backroom:problem:{kind}" if kind else "about:blank", "title": title, "status": status}
    body |= {"detail": detail} if detail else {}
    return HttpResponse(json.dumps(body | more), status=status, content_type=MEDIA_TYPE)


def refused(request: HttpRequest, error: refusals.Refused) -> HttpResponse:
    """The order is not accepted; with the product's slug."""
    status, kind, title = REFUSALS[type(error)]
    return problem(status, kind, title, str(error), **({"product": error.slug} if error.slug else {}))


def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Invalid fields, each by its JSON pointer, or by its name in the query or the headers."""
    errors = [{**_place(item["loc"]), "detail": _sentence(item)} for item in error.errors]
    return problem(422, "invalid", "The request is not valid", "See errors for each field.", errors=errors)


def _sentence(error: dict[str, Any]) -> str:
    return SENTENCES.get(error["type"], "This value is not valid.").format(**error.get("ctx", {}))


def _place(loc: tuple) -> dict[str, str]:
    source, *path = loc
    if source != "body":
        return {source: ".".join(map(str, path))}
    # The first step is the name of the view's parameter, which is internal.
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path[1:])
    return {"pointer": "#" + "".join(f"/{step}" for step in steps)}


def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """A server error: logged in full, answered without details."""
    if db_errors.is_outage(error):
        return unavailable(request, error)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "", "Internal Server Error", "The server failed. It is safe to try again with the same key.")


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """The database is unavailable. The order may be saved, if only its commit's answer was lost, but this request has
    charged nothing; only a key can name an order that an earlier request charged."""
    log.error("%s %s: the database is unavailable: %s", request.method, request.path, db_errors.summary(error))
    db_errors.close_connection()
    detail = "Try again in a moment."
    if request.method == "POST":
        keyed = "Idempotency-Key" in request.headers
        detail += f" {SAME_KEY if keyed else NO_KEY}"
    response = problem(503, "", "Service Unavailable", detail)
    response["Retry-After"] = "5"
    return response


def limited(request: HttpRequest, error: LimitReached) -> HttpResponse:
    response = problem(429, "", "Too Many Requests", str(error))
    response["Retry-After"] = str(error.seconds)
    return response


def overloaded(request: HttpRequest, error: Overloaded) -> HttpResponse:
    response = problem(503, "", "Service Unavailable", "Try again in a moment.")
    response["Retry-After"] = str(error.retry_after)
    return response


def not_allowed(*methods: str) -> HttpResponse:
    """405 with the allowed methods."""
    response = problem(405, "", "Method Not Allowed", f"Use {' or '.join(methods)}.")
    response["Allow"] = ", ".join(methods)
    return response


def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    """ninja's own refusals of a body."""
    if isinstance(error.__cause__, NotJSON):
        return problem(415, "", "Unsupported Media Type", "Send the body as application/json.")
    return problem(error.status_code, "", "Bad Request", "The body is not JSON in UTF-8.")


HANDLERS: dict[type[Exception], Callable[..., HttpResponse]] = {
    refusals.Refused: refused,
    LimitReached: limited,
    Overloaded: overloaded,
    ValidationError: invalid,
    Exception: failed,
    HttpError: unreadable,
    UnreadablePostError: lambda request, error: problem(400, "", "Bad Request", "The request body is incomplete."),
    Http404: lambda request, error: problem(404, "", "Not Found", "This resource does not exist."),
    RequestDataTooBig: lambda request, error: problem(413, "", "Content Too Large", "The request body is too large."),
}


class NotJSON(Exception):
    """A form of another site can send text/plain without asking; application/json it can't."""


class JSONParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != "application/json":
            raise NotJSON
        # Of bytes it takes UTF-16 and UTF-32, too, and it takes NaN and Infinity, which are no JSON.
        return json.loads(request.body.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


class ProblemAPI(NinjaAPI):
    """Handles every error here, and documents errors with the media type that they are sent with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(parser=JSONParser(), default_router=Router(tags=["Shop"]), **options)
        for kind, handler in HANDLERS.items():
            self.add_exception_handler(kind, handler)

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        document = super().get_openapi_schema(**options)
        for operation in (each for path in document["paths"].values() for each in path.values()):
            for status, response in operation["responses"].items():
                if status >= 400:
                    response["content"] = {MEDIA_TYPE: response["content"].pop("application/json")}
        return document
