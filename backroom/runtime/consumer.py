"""A worker's connection to the broker: its turns, its events, a broker that refuses writes, foreign messages."""

import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from backroom.observe.outages import OutageLog
from backroom.runtime import broker, foreign, sqs
from backroom.runtime.early_fetch import EarlyFetch

log = logging.getLogger(__name__)

TURN_EVERY = 1.0  # seconds
# Seconds between two looks, while jobs are here, for events to publish and for dead children. Race: the kernel closes a
# dead child's pipe, which wakes Celery, before waitpid reports the child. Celery then looks again after up to 5 s; one
# death in five, measured on two busy cores.
TICK = 0.25


class Consumer(CeleryConsumer):
    """Celery's, in the main thread. It notes when it last took a turn, as only that proves that it consumes."""

    class Blueprint(CeleryConsumer.Blueprint):
        """Without Celery's delays in RabbitMQ: the ledger delays, and they declare 28 queues."""

        default_steps = [each for each in CeleryConsumer.Blueprint.default_steps if "delayed_delivery" not in each]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.outage = OutageLog(log, "broker")
        self.ticks = False  # whether a timer runs
        self.queues = ""  # that it consumes, with commas; the last ones while the broker is away
        self.turn()
        super().__init__(*args, **options)
        self.early_fetch = EarlyFetch(self.pool)

    def turn(self) -> None:
        """Note that the main thread runs: its loop calls this, and its wait for the broker."""
        self.turned_at = time.monotonic()
        if tasks := getattr(self, "task_consumer", None):
            self.queues = ",".join(sorted(queue.name for queue in tasks.queues))

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        hub.call_repeatedly(TURN_EVERY, self.turn)
        self.early_fetch.register(hub)
        self.ticks = False  # a reconnect clears the hub's timers
        if state.requests:
            self._start_ticks()

    def on_send_event_buffered(self) -> None:
        """Leave the task events of a hub to a timer, and to Celery, which publishes 24 at once. Celery's flush at
        the next turn is one PUBLISH an event: over half of the CPU time of a busy main process."""
        self._start_ticks()

    def _start_ticks(self) -> None:
        if self.hub and not self.ticks:
            self.ticks = True
            self.hub.call_later(TICK, self._tick)

    def _tick(self) -> None:
        """At rest there is none, as each wakes the process: so its timer repeats only while jobs are here."""
        self.ticks = False
        if state.requests:
            self._start_ticks()
        self._flush_events()
        self.pool.maintain_pool()
        self.early_fetch.tick()

    def stop(self) -> None:
        self.early_fetch.stop()
        if self.connection and broker.kind() == "amqp" and broker.failure():
            self.connection.collect()  # else each of a dozen goodbyes waits for its timeout
        elif self.hub and getattr(self, "task_consumer", None) and broker.kind() == "sqs":
            sqs.end_polls(self)
        self._flush_events()  # before the worker says that it is offline
        super().stop()

    def shutdown(self) -> None:
        """The pool has ended: publish the events of its last jobs."""
        self._flush_events()
        super().shutdown()

    def perform_pending_operations(self) -> None:
        """Part of each turn where a transport has no event loop."""
        self.turn()
        super().perform_pending_operations()

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until the broker takes writes, then connect. Celery tries 100 times with growing pauses and no turn, and
        declares its queues as soon as the broker answers: a refusal would end the worker, and each one that a
        supervisor starts in its place."""
        while error := broker.failure():
            self.outage.begin(broker.describe(error))
            self.turn()
            maybe_shutdown()
            time.sleep(broker.PROBE_EVERY)
        self.outage.end()
        foreign.guard(conn.transport)
        conn.connect()
        self.first_connection_attempt = False
        self._flush_events()  # the last connection's, before Celery drops its dispatcher
        return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Pause after a refusal of another kind: the broker answers, so Celery would try again at once."""
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(broker.PROBE_EVERY)

    def create_task_handler(self, **options: Any) -> Callable[[Any], Any]:
        """Celery's, for messages that name a job, and for nothing in them but that."""
        handle = super().create_task_handler(**options)

        def handle_job(message: Any) -> Any:
            if foreign.is_job(message):
                foreign.strip(message)
                self._start_ticks()
                return handle(message)
            foreign.keep(message)
            message.ack_log_error(log, self.connection_errors)

        return handle_job
