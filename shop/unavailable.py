"""503 and a page that needs no database, while the database fails."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from django.contrib.sessions import middleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.views import defaults

from backroom.ledger import db_errors
from backroom.ops import disks

log = logging.getLogger(__name__)


def page(request: HttpRequest, error: BaseException) -> HttpResponse:
    """The 503. It holds a customer's form in hidden fields to send again; the form's key makes both the same order."""
    log.error("%s %s: the database failed: %s", request.method, request.path, db_errors.summary(error))
    db_errors.close_connection()
    ours = request.method == "POST" and request.resolver_match and request.resolver_match.namespace == "orders"
    fields = list(request.POST.items()) if ours and "HX-Request" not in request.headers else []  # htmx keeps its form
    full = [Path(folder).name for folder, free in disks.full().items() if free and request.path.startswith("/ops/")]
    content = render_to_string("503.html", {"fields": fields, "action": request.get_full_path(), "full": full})
    return HttpResponse(content, status=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: a database error outside a view, for example while the 404 page renders, is a 503, too."""
    error = sys.exc_info()[1]
    return page(request, error) if error and db_errors.is_outage(error) else defaults.server_error(request)


class DatabaseErrorMiddleware:
    """Turn a view's database error into the 503, with and without DEBUG."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page(request, error) if db_errors.is_outage(error) else None


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, but a session that the database could not save is a 503. Django reports it as deleted, with a 400."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (Error, SessionInterrupted) as error:
            cause: BaseException | None = error
            while cause and not db_errors.is_outage(cause):
                cause = cause.__context__
            if cause is None:
                raise
            return page(request, cause)
