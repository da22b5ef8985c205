"""The bodies of the jobs, the same for all contenders. They write lines `WORD id time` to the journal.

The journal is a file opened with O_APPEND. So lines of several processes don't mix, and those of a killed one stay.
"""

import os
import signal
import time
from functools import cache


@cache
def _journal() -> int:
    return os.open(os.environ["BENCH_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def record(word: str, id: str) -> None:
    """Write a line. The words are `call`, `begin` and `done`."""
    os.write(_journal(), f"{word} {id} {time.time():.6f}\n".encode())


def nothing(id: str) -> None:
    """Say that it ran."""
    record("done", id)


def wait(id: str, seconds: float) -> None:
    """Wait, as for a partner's answer."""
    record("begin", id)
    time.sleep(seconds)
    record("done", id)


def kill(id: str) -> None:
    """Kill the process that runs it, as a bug in a C library does."""
    record("begin", id)
    os.kill(os.getpid(), signal.SIGKILL)


BODIES = {body.__name__: body for body in (nothing, wait, kill)}
