"""Liveness and readiness of the web process, for load balancers and supervisors."""

from django.http import HttpRequest, HttpResponse

from backroom.ledger import db_errors


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 if the database accepts writes, else 503. Orders do not need the broker."""
    if problem := db_errors.diagnose():
        return HttpResponse(f"database: {problem}\n", status=503, content_type="text/plain")
    return HttpResponse("ready\n", content_type="text/plain")
