"""What the web's processes count: requests, by route, method and class of the status, and how long they took.

Prometheus asks one of gunicorn's processes and means all of them, so they count in files that each of them can read:
prometheus_client's multiprocess mode. As it comes, that mode gives each process a file named by its id, and every
reload leaves some behind for ever. Here a process takes the first file that nobody holds, by a lock that the kernel
releases at its death, however that comes, and counts on where its predecessor was: no count goes backwards, and there
are as many files as processes ran at the same time.
"""

import fcntl
import itertools
import logging
import os
from functools import cache
from pathlib import Path
from typing import IO

from django.conf import settings
from prometheus_client import Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

SIZE = 2**20  # bytes of a file; all routes of the shop, each with several statuses, take a third of it
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# Whoever changes the edges gives the metric another name: files of before are counted on.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

_locks: list[IO[str]] = []  # open for as long as this process lives


def request(route: str, method: str, status: int, seconds: float) -> None:
    """Count one. The method is the visitor's word, so that only known ones get a series of their own."""
    if requests := _requests():
        kind = method if method in METHODS else "other"
        requests.labels(route, kind, f"{status // 100}xx").observe(seconds)


def collector() -> MultiProcessCollector | None:
    """What all processes of this machine counted; None where nobody can count."""
    return MultiProcessCollector(None, str(settings.METRICS_DIR)) if _requests() else None


@cache
def _requests() -> Histogram | None:
    """Made at the first request, in the process that serves it: files belong to one process. Trouble with them costs
    the figures, not the shop."""
    try:
        slot = take(settings.METRICS_DIR)
    except OSError as error:
        log.warning("requests are not counted, METRICS_DIR=%s: %s", settings.METRICS_DIR, error.strerror)
        return None
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.METRICS_DIR)  # in the web only: Flower must not count here
    values.ValueClass = values.MultiProcessValue(lambda: slot)
    return Histogram(
        "backroom_http_request_duration_seconds",
        "From the request's arrival in the web process to its answer",
        ["route", "method", "status"],
        registry=None,
        buckets=EDGES,
    )


def take(folder: Path) -> int:
    """The number of a file that is now ours. It has its full size before it is used: a write to the memory of a file
    for which a full disk has no room would kill the process. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in itertools.count():
        lock = (folder / f"{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _locks.append(lock)
        file, fresh = folder / f"histogram_{number}.db", folder / f"{number}.new"
        if not file.exists():
            fresh.write_bytes(bytes(SIZE))
            fresh.rename(file)
        return number
    raise AssertionError
