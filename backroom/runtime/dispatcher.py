"""Publishes what is due, and rescues what was lost. Any number of dispatchers may run: SKIP LOCKED gives each rows of
its own, and another one finds what a dead one leaves."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from celery import current_app
from django.db import Error, connection
from django.template.defaultfilters import pluralize

from backroom.conf import conf
from backroom.ledger import batches, db_errors, rescue, transitions
from backroom.ledger.lanes import open_lanes
from backroom.ledger.sql import PARKED_JOBS, Message, rows
from backroom.observe.outages import OutageLog
from backroom.runtime import broker, heartbeat, publisher
from backroom.runtime.ended import Ended
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.lost_messages import LostMessages
from backroom.runtime.project_warnings import EveryMinute, warn_of_eviction, warn_of_unserved_queues

log = logging.getLogger(__name__)

POLL = 0.25  # seconds between looks for due jobs
RESCUE_EVERY = 1.0
BATCH = 500
CHORES_EVERY = 5.0
# Whether there is anything to look at, by one row of an index: for a shop at rest that is a tenth of the statements'
# cost. ORDER BY, as PostgreSQL may else expect many rows, and read the table for the first one.
DUE = f"""
SELECT (SELECT true FROM backroom_job WHERE state = 'waiting' AND run_at <= statement_timestamp()
        ORDER BY run_at LIMIT 1),
       (SELECT true FROM backroom_job WHERE lane > '' AND {PARKED_JOBS} ORDER BY lane LIMIT 1),
       (SELECT true FROM backroom_batch WHERE ended_at IS NULL AND count_again_at <= statement_timestamp()
        ORDER BY count_again_at LIMIT 1)
"""  # noqa: S608 - PARKED_JOBS stands in sql.py
LIVE = """
SELECT (SELECT true FROM backroom_job WHERE state = 'running' ORDER BY worker LIMIT 1),
       (SELECT true FROM backroom_job WHERE state = 'waiting' AND run_at IS NULL ORDER BY run_at LIMIT 1),
       (SELECT true FROM backroom_job WHERE state = 'ready' ORDER BY queue LIMIT 1)
"""
OF_OTHER_QUEUES = """
SELECT id FROM backroom_job WHERE state = 'ready' AND queue <> ALL(%s)
AND published_at < statement_timestamp() - %s * interval '1 second'
"""
GRACE = 5.0  # seconds for live workers to beat after the database, or the broker, came back


class Dispatcher:
    """One dispatcher. `run` returns after `stop.set()`. `chores` are called every CHORES_EVERY seconds."""

    def __init__(self, chores: Sequence[Callable[[], None]] = ()) -> None:
        self.stop = threading.Event()
        warnings = EveryMinute(warn_of_unserved_queues), EveryMinute(warn_of_eviction, patience=0)
        self.chores: Sequence[Callable[[], None]] = [*chores, *warnings, EveryMinute(defer_jobs_of_unknown_queues)]
        self.chores_at = 0.0
        self.rescue_at = time.monotonic() + GRACE
        self.ended, self.lost_messages = Ended(), LostMessages()
        self.batch, self.probe_at, self.lanes_at = BATCH, 0.0, 0.0
        self.heartbeat = Heartbeat("dispatcher")
        self.outage, self.broker_outage = OutageLog(log), OutageLog(log, "broker")

    def run(self) -> None:
        """Work until stopped, through outages of the broker and the database."""
        while not self.stop.is_set():
            try:
                self.rescue_if_due()
                busy = self.publish_due()
                self.do_chores_if_due()
                self.heartbeat.beat_if_due()  # last: one that fails at each round is not alive
                self.outage.end()
            except Error as error:
                # No worker could beat during the outage: give them time before the next rescue.
                self.outage.begin(error)
                self.rescue_at = time.monotonic() + GRACE
                connection.close()
                busy = False
                self.stop.wait(1)
            if not busy:
                self.stop.wait(POLL)
        with suppress(Error):
            self.heartbeat.stop()

    def publish_due(self) -> bool:
        """Publish one batch of due jobs; True if there may be more at once."""
        if self.broker_outage.begun and not self.broker_is_back():
            return False
        ((due, parked, batch),) = rows(DUE)
        size = self.batch
        # Sent before the next statement, which may fail: a job that is staged and not sent counts as lost for seconds.
        if not self.send(staged := transitions.stage_due(size) if due else []):
            return False
        again = bool(batch and db_errors.retry_on_clash(batches.look))
        if not self.send(opened := self.open_lanes(size) if parked else []):
            return False
        self.batch = min(2 * size, BATCH)
        count = len(staged) + len(opened)
        if count < size or size == BATCH:
            self.broker_outage.end()
        return again or count >= size

    def open_lanes(self, size: int) -> list[Message]:
        """Look into all lanes: at most a twentieth of the time if it opens none, and the sooner again the more."""
        began = time.monotonic()
        if began < self.lanes_at:
            return []
        messages = open_lanes(limit=size)
        now = time.monotonic()
        self.lanes_at = now + 20 * (now - began) / (1 + len(messages))
        return messages

    def broker_is_back(self) -> bool:
        """Probe a broker that failed, once a second. A busy database must not pay for it."""
        if time.monotonic() < self.probe_at:
            return False
        self.probe_at = time.monotonic() + broker.PROBE_EVERY
        return broker.failure() is None

    def send(self, messages: list[Message]) -> bool:
        """Publish these, or requeue them. A broker whose memory was full may soon be full again: the next batch is one
        job, and each further one twice the one before."""
        if unknown := [message.id for message in messages if message.queue not in current_app.amqp.queues]:
            # A row that can't be published must not block all others.
            transitions.defer_unknown(unknown, "no worker here knows its queue", conf.DEPLOY_WINDOW)
        try:
            if known := [message for message in messages if message.queue in current_app.amqp.queues]:
                publisher.send(known)
        except Exception as error:
            self.broker_outage.begin(broker.describe(error))
            self.batch, self.probe_at = 1, time.monotonic() + broker.PROBE_EVERY
            transitions.requeue_ready([message.id for message in messages])
            return False
        return True

    def rescue_if_due(self) -> None:
        """Every RESCUE_EVERY seconds, requeue what was lost; at each round while a worker seems to have ended."""
        if time.monotonic() < self.rescue_at:
            return
        ((running, behind, ready),) = rows(LIVE)
        ended = self.ended.look() if running else []
        self.rescue_at = time.monotonic() + (POLL if running and self.ended.since else RESCUE_EVERY)
        for name, ids in [
            ("of a dead worker", running and rescue.requeue_abandoned(ended=ended)),
            ("behind a finished one", behind and rescue.release_followers()),
            ("behind a deleted one, now dead,", behind and rescue.mark_orphans_dead()),
            ("whose message was lost", ready and self.requeue_lost_messages()),
        ]:
            if ids:
                log.warning("rescued %d job%s %s: %s", len(ids), pluralize(len(ids)), name, " ".join(ids[:10]))

    def requeue_lost_messages(self) -> list[str]:
        """Requeue jobs whose message the broker no longer has; none while the broker does not answer."""
        try:
            lost = self.lost_messages.look()
        except Error:
            raise
        except Exception as error:
            self.broker_outage.begin(broker.describe(error))
            return []
        return transitions.requeue_ready(lost) if lost else []

    def do_chores_if_due(self) -> None:
        """Call each chore, every CHORES_EVERY seconds."""
        if time.monotonic() >= self.chores_at:
            self.chores_at = time.monotonic() + CHORES_EVERY
            for chore in self.chores:
                chore()


def defer_jobs_of_unknown_queues() -> None:
    """Ready jobs of a queue that was removed: no worker takes their messages, and no dispatcher looks for lost ones."""
    known = [*current_app.amqp.queues, *heartbeat.served_queues()]
    if ids := [str(id) for (id,) in rows(OF_OTHER_QUEUES, known, rescue.SLACK)]:
        transitions.defer_unknown(ids, "no worker knows its queue", conf.DEPLOY_WINDOW)
