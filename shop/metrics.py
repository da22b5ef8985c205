"""`/metrics`, for Prometheus: the requests of this machine's web processes, and the state of the jobs.

It shows how much the shop sells, so it needs the token METRICS_TOKEN, or a staff member with access to /ops/.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from backroom.ops.metrics import BackRoom
from backroom.ops.roles import LOOK
from shop import request_metrics

PARTS = ("web", "jobs")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics, or a part with `?only=web` or `?only=jobs`. Every machine returns the same `jobs`: scrape one."""
    if not may_read(request):
        text = "/metrics needs the header Authorization: Bearer $METRICS_TOKEN, or a signed-in staff member\n"
        return HttpResponse(text, status=401, content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})
    only = request.GET.get("only")
    if only not in (None, *PARTS):
        return HttpResponse(f"only should be one of: {', '.join(PARTS)}\n", status=400, content_type="text/plain")
    registry = CollectorRegistry()
    if only != "jobs" and (web := request_metrics.collector()):
        registry.register(web)
    if only != "web":
        registry.register(BackRoom())
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=kind, headers={"Cache-Control": "no-store"})


def may_read(request: HttpRequest) -> bool:
    """A request with a token needs the right one; a request without needs a staff session."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bool(settings.METRICS_TOKEN) and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    user = request.user
    return user.is_active and user.is_staff and user.has_perm(LOOK)
