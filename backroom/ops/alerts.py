"""The table of alerts: since when each has been wrong, and when it was mailed. Any number of watchers work on it.

    wrong ──lasting──► fired ──► (calm ──lasting──►) recovered
      └─ well again: deleted     mailed_at           recovery_mailed_at

`lasting` is `for` and `keep_firing_for` of Prometheus
(https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/). Each step is one statement on one row, so
of two watchers one makes it; all times are the database's. A watcher leases a row for LEASE seconds before it mails.
If it dies before it has recorded the server's answer, another one mails again, with the same Message-ID.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from backroom.conf import conf
from backroom.ledger.sql import rows
from backroom.ops import alert_mail
from backroom.ops.models import Alert
from backroom.ops.rules import BY_NAME, LASTING, Finding

log = logging.getLogger(__name__)

UNSEEN = 60  # seconds without any watcher after which an unfired alert counts from now: the machine was off
LEASE = 60  # seconds; a mail server that is slow at each step takes 45
KEPT = 90  # days

HOLD = """
INSERT INTO backroom_ops_alert AS known (rule, subject, says) VALUES (%s, %s, %s)
ON CONFLICT (rule, subject) WHERE recovered_at IS NULL DO UPDATE SET
    seen_at = now(), calm_since = NULL,
    says = CASE WHEN known.fired_at IS NULL THEN excluded.says ELSE known.says END,
    since = CASE WHEN known.fired_at IS NULL AND known.seen_at < now() - %s * interval '1 second'
                 THEN now() ELSE known.since END,
    fired_at = CASE WHEN known.fired_at IS NULL AND known.since <= now() - %s * interval '1 second'
                         AND known.seen_at >= now() - %s * interval '1 second'
                    THEN now() ELSE known.fired_at END
RETURNING fired_at = now()
"""

FORGET = "DELETE FROM backroom_ops_alert WHERE id = %s AND fired_at IS NULL RETURNING id"

CALM = """
UPDATE backroom_ops_alert SET calm_since = COALESCE(calm_since, now()),
    recovered_at = CASE WHEN calm_since <= now() - %s * interval '1 second' THEN now() END
WHERE id = %s AND fired_at IS NOT NULL AND recovered_at IS NULL RETURNING recovered_at IS NOT NULL
"""

# A recovery older than a day is not mailed any more. A failed mail goes to the end of the queue.
TAKE = """
UPDATE backroom_ops_alert SET mailing_until = now() + %s * interval '1 second' WHERE id = (
    SELECT id FROM backroom_ops_alert
    WHERE (fired_at IS NOT NULL AND mailed_at IS NULL OR recovered_at IS NOT NULL AND recovery_mailed_at IS NULL)
          AND COALESCE(recovered_at, now()) > now() - interval '1 day' AND COALESCE(mailing_until, now()) <= now()
    ORDER BY mailing_until NULLS FIRST, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id
"""

MAILED = """
UPDATE backroom_ops_alert SET mailing_until = NULL, mailed_at = COALESCE(mailed_at, now()),
                      recovery_mailed_at = CASE WHEN %s THEN now() END
WHERE id = %s RETURNING id
"""

RECORD = """
INSERT INTO backroom_ops_alert (rule, subject, says, since, fired_at, mailed_at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (rule, subject) WHERE recovered_at IS NULL
DO UPDATE SET mailed_at = COALESCE(backroom_ops_alert.mailed_at, excluded.mailed_at) RETURNING id
"""


def current() -> dict[tuple[str, str], Alert]:
    """The open alerts by rule and subject: fired ones, and those that have not lasted long enough."""
    return {(alert.rule, alert.subject): alert for alert in Alert.objects.filter(recovered_at=None)}


def record(found: Iterable[Finding]) -> None:
    """Open, fire and recover alerts by what the rules found."""
    open_ = current()
    for finding in found:
        alert = open_.get((finding.rule.name, finding.subject))
        if finding.rule.watched and (finding.wrong or (alert and alert.fired_at)):
            open_.pop((finding.rule.name, finding.subject), None)
            _hold(finding)
    for alert in open_.values():
        _calm(alert)


def _hold(finding: Finding) -> None:
    lasting = finding.rule.lasting
    ((fired,),) = rows(HOLD, finding.rule.name, finding.subject, finding.says, UNSEEN, lasting, UNSEEN)
    if fired:
        log.warning("alert: %s", finding.says)


def _calm(alert: Alert) -> None:
    """Recover an alert. One of an unknown rule belongs to another release, and that release's watcher evaluates it."""
    rule = BY_NAME.get(alert.rule)
    if rule is None and timezone.now() - alert.seen_at < timedelta(seconds=2 * UNSEEN):
        return
    if not rows(FORGET, alert.id):
        for (recovered,) in rows(CALM, rule.lasting if rule else LASTING, alert.id):
            if recovered:
                log.warning("alert recovered: %s", alert.says)


def mail() -> None:
    """Send the mails that are due. After a failed one the next round tries again."""
    while conf.ALERT_MAIL_TO and (taken := rows(TAKE, LEASE)):
        alert = Alert.objects.get(pk=taken[0][0])
        if not alert_mail.send(alert):
            rows("UPDATE backroom_ops_alert SET mailing_until = now() WHERE id = %s RETURNING id", alert.id)
            return
        rows(MAILED, alert.recovered_at is not None, alert.id)


def record_outage(alert: Alert) -> None:
    """Insert an alert that fired while the database was down. Of several watchers the first one's row stays."""
    rows(RECORD, alert.rule, alert.subject, alert.says, alert.since, alert.fired_at, alert.mailed_at)


def purge() -> None:
    """Delete alerts that recovered long ago."""
    rows("DELETE FROM backroom_ops_alert WHERE recovered_at < now() - %s * interval '1 day' RETURNING id", KEPT)
