"""Waiting for a condition, not for a time."""

import time
from collections.abc import Callable

from tests.brokers import found_within


def until(condition: Callable[[], object], seconds: float = found_within(), what: str = "") -> object:
    """Wait until the condition holds; returns what it gave. Fails the test after `seconds`: a minute, which a busy
    machine needs where another needs a second, or what this run's broker needs to find a lost message."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return found
