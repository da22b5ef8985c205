"""Watches the back room by the rules of backroom/ops/rules.py, and calls for a person. It needs no worker and no broker. Any
number may run: the table of alerts decides who mails.

A sign of life means: all rules were looked at. Who watches the watchers, see docs/operations.md.
"""

import logging
import threading
from contextlib import suppress

from django.db import Error, connection
from django.utils import timezone

from backroom.ledger import db_errors
from backroom.ops import alert_mail, alerts, rollups, rules, stats
from backroom.ops.models import Alert
from backroom.runtime.heartbeat import Heartbeat

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between looks


class Watcher:
    """One watcher. `run` returns after `stop.set()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.heartbeat = Heartbeat("watcher")
        self.trouble = db_errors.OutageLog(log)
        self.outage: Alert | None = None  # of the database, where it can't be written down

    def run(self) -> None:
        """Look until stopped."""
        while not self.stop.is_set():
            self.look()
            self.stop.wait(EVERY)
        with suppress(Error):
            self.heartbeat.stop()

    def look(self) -> None:
        """One round: look, write down, mail. Trouble with the database is waited out, and mailed too."""
        try:
            alerts.note(rules.findings(stats.look(rules.WINDOW)))
            alerts.mail()
            self.heartbeat.beat_if_due()
            self.write_down_outage()
            self.trouble.end()
            rollups.write_finished_minutes()  # rules read the minutes, also those in which no dispatcher was there to write them
        except Error as error:
            self.trouble.begin(db_errors.summary(error))
            connection.close()
            self.wait_out(type(error).__name__)

    def wait_out(self, what: str) -> None:
        """Mail that the database is away, once it has been for long enough. Without it watchers can't agree who does:
        each mails, once."""
        now = timezone.now()
        if self.outage is None:
            says = rules.DATABASE.says.format(also=what)
            self.outage = Alert(rule=rules.DATABASE.name, says=says, since=now)
        if (now - self.outage.since).total_seconds() >= rules.DATABASE.lasting:
            self.outage.fired_at = self.outage.fired_at or now
        if self.outage.fired_at and not self.outage.mailed_at and alert_mail.send(self.outage):
            self.outage.mailed_at = now

    def write_down_outage(self) -> None:
        """What fired while it was away is an alert like any other from now on: its end is mailed once."""
        if self.outage and self.outage.fired_at:
            alerts.write_down(self.outage)
        self.outage = None
