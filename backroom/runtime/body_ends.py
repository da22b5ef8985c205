"""A pipe by which children announce to their main process that a body has ended: see early_fetch.py. A web process has
this module, as it has the tasks, and none of Celery's worker."""

import os
from contextlib import suppress

ID = 36  # characters

pipe: tuple[int, int] | None = None


def open_pipe() -> None:
    """Call this before a pool forks."""
    global pipe
    pipe = os.pipe()
    for end in pipe:
        os.set_blocking(end, False)


def announce(id: str) -> None:
    """In a child: the body of this job has ended. Nothing in other pools."""
    if pipe:
        with suppress(OSError):  # a full pipe: the main process is frozen, or has enough to do
            os.write(pipe[1], id.encode())  # never in part, as it is so short


def announced() -> list[str]:
    """In the main process: the ids of jobs whose body has ended since the last call, 100 at most."""
    assert pipe  # noqa: S101 - its reader asks
    ids = os.read(pipe[0], 100 * ID).decode()
    return [ids[start : start + ID] for start in range(0, len(ids), ID)]
