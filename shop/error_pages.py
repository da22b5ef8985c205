"""The shop's own 400, 500 and 503 with DEBUG, too: the demo runs with it, and Django's page of an error shows settings
and variables, passwords among them. The log has the traceback."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django.views.defaults import bad_request

from shop.unavailable import server_error


class Reporter:
    """In place of Django's. With DEBUG, Django makes one while it handles an error of a view or of a middleware."""

    def __init__(self, request: Any, kind: type, error: Exception, traceback: Any) -> None:
        refused = isinstance(error, BadRequest | SuspiciousOperation)
        request.error_page = bad_request(request, error) if refused else server_error(request)

    def get_traceback_html(self) -> str:
        return ""

    get_traceback_text = get_traceback_html


class ErrorPageMiddleware:
    """Send our page in place of the reporter's. The middlewares inside this one may raise any error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.exception_reporter_class = Reporter  # type: ignore[attr-defined,assignment]
        response = self.get_response(request)
        return getattr(request, "error_page", response)
