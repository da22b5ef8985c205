"""For `celery worker --include`: tasks of lanes. Each body notes its begin and its end in the file LANES_JOURNAL."""

import os
import time
from pathlib import Path

from backroom import Permanent, Retry, task


def note(*words: object) -> None:
    with Path(os.environ["LANES_JOURNAL"]).open("a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")  # one write: no line cuts another one


def work(lane: str, number: int) -> None:
    note("begin", lane, number, os.getpid())
    time.sleep(0.3)
    note("end", lane, number, os.getpid())


@task(name="tests.lanes.limited", queue="bulk", limit=("tests:{lane}", 3))
def limited(lane: str, number: int) -> None:
    work(lane, number)


@task(name="tests.lanes.ordered", queue="bulk", in_order="tests:{lane}", retry=Retry(first=1, jitter=0))
def ordered(lane: str, number: int) -> None:
    """The second fails at first, the third for good."""
    work(lane, number)
    if number == 1 and Path(os.environ["LANES_JOURNAL"]).read_text().count(f"end {lane} 1 ") == 1:
        raise OSError("not yet")
    if number == 2:
        raise Permanent("never")


@task(name="tests.lanes.blocked", queue="bulk", in_order="tests:{lane}", dead_blocks=True)
def blocked(lane: str, number: int) -> None:
    """The second fails for good."""
    work(lane, number)
    if number == 1:
        raise Permanent("never")
