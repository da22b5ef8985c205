"""What a browser is told while the database is in trouble: 503 and a page of ours, which needs no database itself."""

import logging
import sys
from collections.abc import Callable

from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.views import defaults

from backroom.ledger import db_errors

log = logging.getLogger(__name__)


def page(request: HttpRequest, error: BaseException) -> HttpResponse:
    """The 503. A customer's form comes back hidden in it, to be sent once more: its key makes that the same order."""
    log.error("%s %s: the database is in trouble: %s", request.method, request.path, db_errors.summary(error))
    db_errors.let_go()
    ours = request.method == "POST" and request.resolver_match and request.resolver_match.namespace == "orders"
    fields = list(request.POST.items()) if ours else []
    content = render_to_string("503.html", {"fields": fields, "action": request.get_full_path()})
    response = HttpResponse(content, status=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
    if request.method == "POST" and "HX-Request" in request.headers:
        response["HX-Refresh"] = "true"  # htmx shows no error's page: the visitor would take it for done
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """What could not be answered at all, such as a 404 whose page found no database."""
    error = sys.exc_info()[1]
    return page(request, error) if error and db_errors.is_trouble(error) else defaults.server_error(request)


class DatabaseTrouble:
    """Middleware: trouble in a view is a 503, with and without DEBUG."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page(request, error) if db_errors.is_trouble(error) else None


class Sessions(SessionMiddleware):
    """Django's sessions. They are saved behind the view, and Django takes any failure there for a session that was
    deleted, which is 400 and untrue."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (Error, SessionInterrupted) as error:
            cause: BaseException | None = error
            while cause and not db_errors.is_trouble(cause):
                cause = cause.__context__
            if cause is None:
                raise
            return page(request, cause)
