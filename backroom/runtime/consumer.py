"""A worker's connection to the broker, through a broker that answers and refuses writes."""

import logging
import time
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from backroom.observe.outages import OutageLog
from backroom.runtime import broker

log = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Celery's declares its queues as soon as the broker answers. A refusal would end the worker, and each one that a
    supervisor starts in its place."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.outage = OutageLog(log, "broker")
        super().__init__(*args, **options)

    def connect(self) -> Any:
        """Wait until the broker takes writes, then connect. Celery waits for one that does not answer."""
        while (error := broker.failure()) and broker.refuses(error):
            self.outage.begin(broker.describe(error))
            maybe_shutdown()
            time.sleep(broker.PROBE_EVERY)
        self.outage.end()
        return super().connect()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Pause after a refusal of another kind: the broker answers, so Celery would try again at once."""
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(broker.PROBE_EVERY)
