"""Waiting for a condition, not for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60, what: str = "") -> object:
    """Wait until the condition holds; returns what it gave. Fails the test after `seconds`, which a busy machine needs
    where another needs one."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return found
