"""One line in the log, one span and one count for each request, and the id by which its line, its jobs' lines and the
answer's X-Request-ID belong together.

Not django-structlog's middleware: it logs the whole address, where an order's token or a search for a name may stand,
and it asks for the user, which costs each page a query.
"""

import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, StatusCode

from backroom.observe import context
from shop import request_metrics

log = structlog.get_logger(__name__)
QUIET = {"/healthz", "/readyz", "/metrics"}  # asked by machines, every few seconds


class RequestLog:
    """Middleware, to stand first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        id = uuid.uuid4().hex
        context.begin(request_id=id)
        response = self.get_response(request) if request.path in QUIET else self.told(request, id)
        response["X-Request-ID"] = id
        return response

    def told(self, request: HttpRequest, id: str) -> HttpResponse:
        """The answer, with its span, its count and its line."""
        begin = time.monotonic()
        with context.tracer.start_as_current_span(
            request.method or "", propagate.extract(request.headers), SpanKind.SERVER, {"request_id": id}
        ) as span:
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else "none"  # no ids, no tokens, no words
            span.update_name(f"{request.method} /{route}")
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.set_status(StatusCode.ERROR)
        seconds, method = time.monotonic() - begin, request.method or ""
        request_metrics.observe(f"/{route}" if request.resolver_match else route, method, response.status_code, seconds)
        log.info("request", method=method, route=route, status=response.status_code, seconds=round(seconds, 3))
        return response
