"""`/metrics`, for Prometheus: what this machine's web processes counted, and the back room as the database knows it.

Not for the public: it tells how much the shop sells. Whoever asks shows the token METRICS_TOKEN, or is staff that may
look at /ops/.
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
    """All metrics, or with `?only=web` or `?only=jobs` a part. The jobs are the same on every machine; who scrapes
    several asks only one for them."""
    if not may_read(request):
        words = "metrics are for Prometheus (Authorization: Bearer $METRICS_TOKEN) and for staff who are logged in\n"
        return HttpResponse(words, status=401, content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})
    only = request.GET.get("only")
    if only not in (None, *PARTS):
        return HttpResponse(f"only={' or only='.join(PARTS)}, or all\n", status=400, content_type="text/plain")
    registry = CollectorRegistry()
    if only != "jobs" and (web := request_metrics.collector()):
        registry.register(web)
    if only != "web":
        registry.register(BackRoom())
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=kind, headers={"Cache-Control": "no-store"})


def may_read(request: HttpRequest) -> bool:
    """By the token, if there is one; else by the session."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bool(settings.METRICS_TOKEN) and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    user = request.user
    return user.is_active and user.is_staff and user.has_perm(LOOK)
