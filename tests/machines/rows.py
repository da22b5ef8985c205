"""What befalls machines and the links between them, as data."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.chaos.rows import REDELIVERED, RESCUED, SETTLED, Row
from tests.machines.cluster import MACHINES
from tests.machines.faults import Harm, Trouble, alone, clock, cut, lossy, slow, split

ALL = tuple(name for names in MACHINES.values() for name in names if name not in ("beat", "beat-2"))
ONE_DISPATCHER = tuple(name for name in ALL if name != "dispatcher-2")
BEATS = (*ALL, "beat", "beat-2")
# The written limit of mail: a worker that is cut off from the database, or from the partners, while it sends one.
SENDING, ALL_SENDING = 2, 4  # children of one worker for mails, and of both


def rows() -> Iterator[Row]:
    """All rows. A row's fault is a Trouble."""
    row = partial(_row, "links")
    yield row("web and broker", cut(("web", "broker")), RESCUED)
    yield row("web and database", cut(("web", "database")), SETTLED)
    yield row("worker and database", cut(("worker-a", "database")), RESCUED, SENDING)
    yield row("worker and database", cut(("worker-a", "database")), RESCUED, SENDING, seconds=60)
    yield row("worker and broker", cut(("worker-a", "broker")), REDELIVERED)
    yield row("only dispatcher and broker", cut(("dispatcher-a", "broker")), RESCUED, needs=ONE_DISPATCHER)
    yield row("only dispatcher and database", cut(("dispatcher-a", "database")), RESCUED, needs=ONE_DISPATCHER)
    row = partial(_row, "machines")
    yield row("a worker alone", alone("worker-a"), REDELIVERED, SENDING)
    yield row("the only dispatcher alone", alone("dispatcher-a"), RESCUED, needs=ONE_DISPATCHER)
    yield row("broker alone", alone("broker"), REDELIVERED)
    yield row("database alone", alone("database"), SETTLED, ALL_SENDING)
    row = partial(_row, "splits")
    half = split("broker", "worker-a", "dispatcher-a")
    yield row("broker, a worker and a dispatcher from the rest", half, SETTLED, SENDING)
    halves = cut(("dispatcher-a", "database"), ("dispatcher-b", "broker"))
    yield row("one dispatcher and database, other dispatcher and broker", halves, RESCUED)
    yield row("one of two beats and database", cut(("dispatcher-a", "database")), RESCUED, needs=BEATS, slots=3)
    row = partial(_row, "clocks", lasts=True)
    for ahead, where in (90, "ahead"), (-90, "behind"):
        yield row(f"web 90 s {where}", clock("web", ahead), SETTLED)
        yield row(f"a worker 90 s {where}", clock("worker-a", ahead), SETTLED)
        yield row(f"a dispatcher and a beat 90 s {where}", clock("dispatcher-a", ahead), SETTLED, needs=BEATS, slots=3)
    row = partial(_row, "lines", seconds=30)
    yield row("all links slow", slow, SETTLED)
    yield row("each machine loses one packet in twenty", lossy, SETTLED)


def _row(part: str, what: str, harm: Harm, within: float, twice: int = 0, needs: tuple = ALL, **options: Any) -> Row:
    trouble = Trouble(harm, **options)
    return Row(part, what, f"{trouble.seconds:g} s", trouble, within, twice, needs, naive=False)
