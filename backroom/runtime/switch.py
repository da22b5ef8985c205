"""Whether a process uses a server that failed."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

PROBE_EVERY = 1.0  # seconds between probes of a server that failed


class Switch:
    """Whether this process uses a server: off after a failure, until a thread has seen it take writes again. So one
    caller per outage waits for the timeout, shared by publisher and breakers."""

    def __init__(self, name: str, failure: Callable[[], Exception | None]) -> None:
        self.name, self.failure = name, failure
        self._off = threading.Event()
        self._lock = threading.Lock()

    @property
    def is_off(self) -> bool:
        return self._off.is_set()

    def turn_off(self) -> None:
        """Turn off, and start to probe."""
        with self._lock:
            if not self.is_off:
                self._off.set()
                threading.Thread(target=self._probe, daemon=True, name=f"probe: {self.name}").start()

    def _probe(self) -> None:
        while self.failure():
            time.sleep(PROBE_EVERY)
        self._off.clear()
        log.warning("%s again", self.name)
