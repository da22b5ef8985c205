"""What is wrong since when, and whether a person was told: the table of alerts, on which any number of watchers work.

    wrong ──lasting──► fired ──► (calm ──lasting──►) recovered
      └─ well again: deleted     mailed_at           recovery_mailed_at

`lasting` both ways is what Prometheus calls `for` and `keep_firing_for`
(https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/). Each step is one statement on one row, so
that of two watchers one makes it; all times are the database's. Whoever mails takes the row for LEASE seconds first:
one that dies before it wrote down that the server took the mail leaves it to be sent again, with the same Message-ID.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from backroom.ledger.sql import rows
from backroom.ops import alert_mail
from backroom.ops.models import Alert
from backroom.ops.rules import BY_NAME, LASTING, Finding
from backroom.runtime.conf import conf

log = logging.getLogger(__name__)

UNSEEN = 60  # seconds in which nobody looked, after which what is wrong counts from now: a machine that was off
LEASE = 60  # seconds; a mail server that is slow at every step takes 45
KEPT = 90  # days

HOLD = """
INSERT INTO backroom_ops_alert (rule, subject, says) VALUES (%s, %s, %s)
ON CONFLICT (rule, subject) WHERE recovered_at IS NULL DO UPDATE SET
    seen_at = now(), calm_since = NULL,
    says = CASE WHEN backroom_ops_alert.fired_at IS NULL THEN excluded.says ELSE backroom_ops_alert.says END,
    since = CASE WHEN backroom_ops_alert.fired_at IS NULL AND backroom_ops_alert.seen_at < now() - %s * interval '1 second'
                 THEN now() ELSE backroom_ops_alert.since END,
    fired_at = CASE WHEN backroom_ops_alert.fired_at IS NULL AND backroom_ops_alert.since <= now() - %s * interval '1 second'
                         AND backroom_ops_alert.seen_at >= now() - %s * interval '1 second'
                    THEN now() ELSE backroom_ops_alert.fired_at END
RETURNING fired_at = now()
"""

FORGET = "DELETE FROM backroom_ops_alert WHERE id = %s AND fired_at IS NULL RETURNING id"

CALM = """
UPDATE backroom_ops_alert SET calm_since = COALESCE(calm_since, now()),
    recovered_at = CASE WHEN calm_since <= now() - %s * interval '1 second' THEN now() END
WHERE id = %s AND fired_at IS NOT NULL AND recovered_at IS NULL RETURNING recovered_at IS NOT NULL
"""

# What has been over for a day nobody need be mailed any more. What failed goes to the end of the line.
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

WRITE_DOWN = """
INSERT INTO backroom_ops_alert (rule, subject, says, since, fired_at, mailed_at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (rule, subject) WHERE recovered_at IS NULL
DO UPDATE SET mailed_at = COALESCE(backroom_ops_alert.mailed_at, excluded.mailed_at) RETURNING id
"""


def current() -> dict[tuple[str, str], Alert]:
    """What is not over, by rule and subject: what has fired, and what is wrong but has not lasted yet."""
    return {(alert.rule, alert.subject): alert for alert in Alert.objects.filter(recovered_at=None)}


def note(found: Iterable[Finding]) -> None:
    """Write down what is wrong now, what has lasted long enough to fire, and what is over."""
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
    """A rule that is not known here may be another release's: that one's watcher knows how it stands."""
    rule = BY_NAME.get(alert.rule)
    if rule is None and timezone.now() - alert.seen_at < timedelta(seconds=2 * UNSEEN):
        return
    if not rows(FORGET, alert.id):
        for (recovered,) in rows(CALM, rule.lasting if rule else LASTING, alert.id):
            if recovered:
                log.warning("alert over: %s", alert.says)


def mail() -> None:
    """Mail what nobody was told yet. A mail server in trouble is asked again in the next round."""
    while conf.ALERT_MAIL_TO and (taken := rows(TAKE, LEASE)):
        alert = Alert.objects.get(pk=taken[0][0])
        if not alert_mail.send(alert):
            rows("UPDATE backroom_ops_alert SET mailing_until = now() WHERE id = %s RETURNING id", alert.id)
            return
        rows(MAILED, alert.recovered_at is not None, alert.id)


def write_down(alert: Alert) -> None:
    """Write down what fired while there was no database to write to. Of several watchers the first one's row stands."""
    rows(WRITE_DOWN, alert.rule, alert.subject, alert.says, alert.since, alert.fired_at, alert.mailed_at)


def purge() -> None:
    """Delete what was over long ago."""
    rows("DELETE FROM backroom_ops_alert WHERE recovered_at < now() - %s * interval '1 day' RETURNING id", KEPT)
