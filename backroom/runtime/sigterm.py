"""SIGTERM to a worker's children: systemd stops a service by a signal to all of its processes."""

import mmap
import signal
import time
from collections.abc import Callable
from typing import Any

import billiard.pool

PATIENCE = 2.0  # seconds for the main process to learn of its own SIGTERM
LOOK_EVERY = 0.01  # seconds

_stopping = mmap.mmap(-1, 1)  # one byte, shared with the children that are forked from now on


def main_stops(warm: bool) -> None:
    """In the main process: whether its children finish what they run."""
    _stopping[0] = warm


def stops() -> bool:
    """Whether this worker makes a warm stop: in its main process, and in its children."""
    return bool(_stopping[0])


def spare_bodies() -> None:
    """Let a child ignore SIGTERM while its main process waits for it. At any other one, as for a terminated task, it
    ends as before, PATIENCE later. Call this before the pool forks."""
    reset = billiard.pool.reset_signals

    def reset_and_spare(**options: Any) -> None:
        reset(**options)
        if callable(end := signal.getsignal(signal.SIGTERM)):
            signal.signal(signal.SIGTERM, _unless_main_stops(end))

    billiard.pool.reset_signals = reset_and_spare


def _unless_main_stops(end: Callable[[int, Any], Any]) -> Callable[[int, Any], None]:
    def handler(number: int, frame: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if _stopping[0]:
                return
            time.sleep(LOOK_EVERY)
        end(number, frame)

    return handler
