"""One log line, one span and one count per request, and the id that its log lines, its jobs and X-Request-ID share.

django-structlog's middleware logs the full address, which may contain an order's token, and queries the user each time.
"""

import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, StatusCode

from backroom.observe import context
from shop import request_metrics

log = structlog.get_logger(__name__)


class RequestLog:
    """The first middleware, so that it sees every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        id = uuid.uuid4().hex
        context.begin(request_id=id)
        response = self.get_response(request) if request.path in settings.MACHINE_PATHS else self.record(request, id)
        response["X-Request-ID"] = id
        return response

    def record(self, request: HttpRequest, id: str) -> HttpResponse:
        """Get the response inside a span, then count and log the request."""
        begin, method = time.monotonic(), request.method or ""
        with context.tracer.start_as_current_span(
            method, propagate.extract(request.headers), SpanKind.SERVER, {"request_id": id}
        ) as span:
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else "none"  # a pattern holds no ids
            span.update_name(f"{method} /{route}")
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.set_status(StatusCode.ERROR)
        seconds = time.monotonic() - begin
        label = f"/{route}" if request.resolver_match else route
        request_metrics.observe(label, method, response.status_code, seconds)
        log.info("request", method=method, route=route, status=response.status_code, seconds=round(seconds, 3))
        return response
