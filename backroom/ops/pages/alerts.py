"""What is wrong now, since when and who was told; what was; and by which rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ops import rules
from backroom.ops.alerts import current
from backroom.ops.models import Alert
from backroom.ops.pages.access import looks
from backroom.runtime.conf import conf

SHOWN = 50


@dataclass(frozen=True)
class Line:
    """One thing that is wrong. `alert` is what a watcher wrote down of it: None if none has looked yet."""

    says: str
    rule: rules.Rule
    alert: Alert | None


def lines(found: Iterable[rules.Finding]) -> list[Line]:
    """What is wrong now, by the rules; and what has fired and is not over, though it may be well by now."""
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
    """Every alert that fired, the latest first, and the rules."""
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
