"""Liveness and readiness of the web process, for load balancers and supervisors."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware import common

from backroom.observe import outages


class CommonMiddleware(common.CommonMiddleware):
    """Django's, but a machine may name any host, such as a pod's address. No answer to one holds a link."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in settings.MACHINE_PATHS else super().process_request(request)


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 if the database accepts writes, else 503. Orders do not need the broker."""
    if problem := outages.diagnose():
        return HttpResponse(f"database: {problem}\n", status=503, content_type="text/plain")
    return HttpResponse("ready\n", content_type="text/plain")
