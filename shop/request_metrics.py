"""Request counts and durations of all web processes, by route, method and status class, and security events.

prometheus_client's multiprocess mode names files by process id. Measured, 300 dead processes' files make a scrape take
0.44 s instead of 9 ms, removing them makes counters go backwards, and a full disk kills the process by SIGBUS. So a
process takes the first preallocated file that no living process has locked, and continues its counts.
"""

import fcntl
import itertools
import logging
import os
from functools import cache
from pathlib import Path

from django.conf import settings
from prometheus_client import Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

KINDS = ("histogram", "counter")  # prometheus_client names its files by these
SIZE = 2**20  # bytes of a file; all routes of the shop with several statuses each need a third of it
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# New buckets need a new metric name: the files keep the old counts.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count one request. Unknown methods share one label: a visitor chooses the word."""
    if metrics := _metrics():
        metrics[0].labels(route, method if method in METHODS else "other", f"{status // 100}xx").observe(seconds)


def count_event(event: str) -> None:
    """`event` is a label of the metric: one of a few. Does nothing while the files can't be used."""
    if metrics := _metrics():
        metrics[1].labels(event).inc()


def collector() -> MultiProcessCollector | None:
    """The sum over all processes of this machine; None if the files can't be used."""
    return MultiProcessCollector(None, str(settings.METRICS_DIR)) if _metrics() else None


@cache
def _metrics() -> tuple[Histogram, Counter] | None:
    """Created by the first request, in the process that serves it. An error with the files costs the metrics only."""
    try:
        slot = take(settings.METRICS_DIR)
    except OSError as error:
        log.warning("requests are not counted, METRICS_DIR=%s: %s", settings.METRICS_DIR, error.strerror)
        return None
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.METRICS_DIR)  # not earlier: Flower must not count here
    values.ValueClass = values.MultiProcessValue(lambda: slot)
    requests = Histogram(
        "backroom_http_request_duration_seconds",
        "From the request's arrival in the web process to its answer",
        ["route", "method", "status"],
        registry=None,
        buckets=BUCKETS,
    )
    events = Counter(
        "backroom_security_events", "Sign-ins, changed rights and passwords, reached limits", ["event"], registry=None
    )
    return requests, events


def take(folder: Path) -> int:
    """Lock a file until this process dies, and return its number. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in itertools.count():
        lock = os.open(folder / f"{number}.lock", os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        for kind in KINDS:
            file, fresh = folder / f"{kind}_{number}.db", folder / f"{number}.new"
            if not file.exists():  # renamed once complete: a scrape of another process may read it at once
                fresh.write_bytes(bytes(SIZE))
                fresh.rename(file)
        break
    return number
