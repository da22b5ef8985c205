"""Is the web process alive, and can it serve? Two addresses for machines."""

from django.http import HttpRequest, HttpResponse

from backroom.ledger import db_errors


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when orders can be taken, else 503: the database answers and may be written. The broker doesn't count."""
    if problem := db_errors.of_database():
        return HttpResponse(f"database: {problem}\n", status=503, content_type="text/plain")
    return HttpResponse("ready\n", content_type="text/plain")
