"""The subprocesses of a job, known by a mark in their environment, on Linux.

A body that is cut off leaves them running, beside its next attempt. A process group would name them, too. But a
worker's children share its group, so that its supervisor can kill all of it.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "BACKROOM_JOB"
LOOKS = 3  # Race: a process forks between a look and its end.


@contextmanager
def marked(id: str) -> Iterator[None]:
    """Processes started in the block belong to this job, with all that they start."""
    os.environ[MARK] = id
    try:
        yield
    finally:
        os.environ.pop(MARK, None)


def environment() -> dict[str, str]:
    """For a subprocess that gets none of our secrets: the mark only."""
    return {MARK: os.environ[MARK]} if MARK in os.environ else {}


def end(id: str) -> None:
    """Send SIGKILL to the job's subprocesses on this machine. One that replaced its environment is not found."""
    for _ in range(LOOKS):
        if not (pids := _of_job(id)):
            return
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _of_job(id: str) -> list[int]:
    mark, found = f"{MARK}={id}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's, or gone
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found
