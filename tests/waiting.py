"""Waiting for a condition, not for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> object:
    """Wait until the condition holds; returns what it gave. Fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return found
