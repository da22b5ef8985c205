"""Publishes what is due, and gives back what was lost. Any number of dispatchers may run: rows are taken with SKIP
LOCKED, and one that dies in the middle leaves nothing that another would not find."""

import logging
import threading
import time
from contextlib import suppress

from celery import current_app
from django.db import Error, connection

from backroom.ledger import db_errors, rescue, transitions
from backroom.ops import rollups
from backroom.runtime import heartbeat, publisher

log = logging.getLogger(__name__)

POLL = 0.25  # seconds between looks at what is due
RESCUE_EVERY = 2.0
BATCH = 500
BOOKS_EVERY = 5.0  # seconds between looks whether a minute is over
GRACE = 5.0  # seconds a live worker has to say so after the database, or the broker, came back


class Dispatcher:
    """One dispatcher. `run` returns after `stop.set()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.rescue_at = time.monotonic() + GRACE
        self.books_at = 0.0
        self.broker_failed = False
        self.sign = heartbeat.Sign("dispatcher")
        self.trouble = db_errors.OutageLog(log)

    def run(self) -> None:
        """Work until stopped; trouble with the broker or the database is waited out."""
        while not self.stop.is_set():
            try:
                self.sign.give()
                busy = self.publish_due()
                self.rescue_if_time()
                self.keep_books_if_time()
                self.trouble.end()
            except Error as error:
                # While the database was away no worker could say that it lives: let them speak first.
                self.trouble.begin(db_errors.summary(error))
                self.rescue_at = time.monotonic() + GRACE
                connection.close()
                busy = False
                self.stop.wait(1)
            if not busy:
                self.stop.wait(POLL)
        with suppress(Error):
            self.sign.end()

    def publish_due(self) -> bool:
        """Publish one batch of what is due; True if there may be more at once."""
        if self.broker_failed and not publisher.answers():
            return False
        self.broker_failed = False
        messages = transitions.stage_due(BATCH)
        if strangers := [message for message in messages if message.queue not in current_app.amqp.queues]:
            # One row that can't be published must not hold up all the others.
            rescue.refuse([message.id for message in strangers], "no worker here knows its queue")
            messages = [message for message in messages if message not in strangers]
        if not messages:
            return bool(strangers)
        try:
            publisher.send(messages)
        except Exception as error:
            log.warning("the broker took no messages, waiting for it: %s", error)
            self.broker_failed = True
            transitions.unpublish([message.id for message in messages])
        return len(messages) == BATCH

    def rescue_if_time(self) -> None:
        """Every RESCUE_EVERY seconds, give back what was lost."""
        if time.monotonic() < self.rescue_at:
            return
        self.rescue_at = time.monotonic() + RESCUE_EVERY
        for name, ids in [
            ("jobs of silent workers", rescue.give_back_of_silent_workers()),
            ("jobs behind a finished one", rescue.release_followers()),
            ("jobs whose message is lost", self.give_back_unclaimed()),
        ]:
            if ids:
                log.warning("rescued %d %s: %s", len(ids), name, " ".join(ids[:10]))

    def keep_books_if_time(self) -> None:
        """Write down the minute that is over."""
        if time.monotonic() < self.books_at:
            return
        self.books_at = time.monotonic() + BOOKS_EVERY
        rollups.keep_books()

    def give_back_unclaimed(self) -> list[str]:
        """Give back jobs whose message the broker no longer has; none while the broker does not answer."""
        lost = []
        try:
            ages = publisher.oldest_messages(queue.name for queue in current_app.amqp.queues.values())
        except Exception as error:
            log.warning("the broker can't be asked: %s", error)
            return []
        for queue, oldest in ages.items():
            lost += rescue.give_back_unclaimed(queue, oldest)
        return lost
