"""The alerts page: what fired, when it was mailed and when it recovered; and the rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.conf import conf
from backroom.ops import rules
from backroom.ops.alerts import current
from backroom.ops.models import Alert
from backroom.ops.pages.access import looks

SHOWN = 50


@dataclass(frozen=True)
class Line:
    """A broken rule. `alert` is a watcher's row of it, or None before a watcher's next round."""

    says: str
    rule: rules.Rule
    alert: Alert | None


def lines(found: Iterable[rules.Finding]) -> list[Line]:
    """What the rules find wrong now, and the fired alerts that have not recovered yet."""
    written, wrong = current(), []
    for finding in found:
        alert = written.get((finding.rule.name, finding.subject))
        if finding.wrong or (alert and alert.fired_at):
            wrong.append(Line(finding.says, finding.rule, alert))
            written.pop((finding.rule.name, finding.subject), None)
    well = [alert for alert in written.values() if alert.fired_at and alert.rule in rules.BY_NAME]
    return wrong + [Line(alert.says, rules.BY_NAME[alert.rule], alert) for alert in well]


@looks
def page(request: HttpRequest) -> HttpResponse:
    """Each alert that fired, the newest first, and the rules."""
    before = request.GET.get("before", "")
    found = Alert.objects.exclude(fired_at=None).order_by("-id")
    if before.isdecimal() and len(before) < 18:
        found = found.filter(id__lt=int(before))
    alerts = list(found[: SHOWN + 1])
    return render(
        request,
        "ops/alerts.html",
        {
            "tab": "alerts",
            "alerts": alerts[:SHOWN],
            "more": urlencode({"before": alerts[SHOWN - 1].id}) if len(alerts) > SHOWN else "",
            "rules": rules.RULES,
            "lasting": rules.LASTING,
            "mailed_to": conf.ALERT_MAIL_TO,
        },
    )
