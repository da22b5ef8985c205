"""Evaluates the alert rules (backroom/ops/rules.py) every few seconds and mails alerts.

It needs no worker and no broker. Any number may run: the table of alerts decides which one mails.

Its heartbeat means that it has evaluated all rules. docs/operations.md says how to watch the watchers.
"""

import logging
import os
import threading
from contextlib import suppress

from django.db import Error, connection
from django.utils import timezone

from backroom.ledger import db_errors
from backroom.observe.outages import OutageLog
from backroom.ops import alert_mail, alerts, rollups, rules, stats
from backroom.ops.levels import MEASURED
from backroom.ops.models import Alert
from backroom.ops.readings import Reading
from backroom.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between rounds


class Watcher:
    """One watcher. `run` returns after `stop.set()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.heartbeat = Heartbeat("watcher")
        self.outage_log = OutageLog(log)
        self.outage: Alert | None = None  # of the database, kept in memory

    def run(self) -> None:
        log.info("watcher %d is ready", os.getpid())
        while not self.stop.is_set():
            self.look()
            self.stop.wait(EVERY)
        with suppress(Error):
            self.heartbeat.stop()

    def look(self) -> None:
        """One round. A database error starts the alert that the database is down."""
        try:
            alerts.record(rules.findings(stats.snapshot(rules.WINDOW, limit=MEASURED)))
            alerts.mail()
            self.heartbeat.beat_if_due()
            self.record_outage()
            self.outage_log.end()
            rollups.write_finished_minutes()  # the rules read minutes that no dispatcher wrote, too
        except Error as error:
            self.outage_log.begin(error)
            connection.close()
            self.database_down(error)

    def database_down(self, error: Error) -> None:
        """Mail that the database is down, once it has lasted. Without it watchers can't agree which one mails, so each
        does, once."""
        now = timezone.now()
        if self.outage is None:
            says = rules.DATABASE.text(Reading("", 1, db_errors.summary(error)))
            if not db_errors.is_outage(error):
                says = f"The watcher can't evaluate the alert rules: {db_errors.summary(error)}."
            self.outage = Alert(rule=rules.DATABASE.name, says=says, since=now)
        if (now - self.outage.since).total_seconds() >= rules.DATABASE.lasting:
            self.outage.fired_at = self.outage.fired_at or now
        if self.outage.fired_at and not self.outage.mailed_at and alert_mail.send(self.outage):
            self.outage.mailed_at = now

    def record_outage(self) -> None:
        """Insert the outage's alert, so that its recovery is mailed once."""
        if self.outage and self.outage.fired_at:
            alerts.record_outage(self.outage)
        self.outage = None
