"""Charts of the last hour, day or week as SVG, drawn on the server out of the per-minute rows.

No chart library: the four charts are 4 to 7 KB of gzipped SVG and need no script. uPlot alone is 22 KB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.formats import number_format

from backroom.ledger.sql import rows
from backroom.ops.formats import seconds

WIDTH, HEIGHT = 600, 120  # of the drawing, which the page stretches
PATTERNS = 6  # k1 to k6 in ops.css
FAILED = {"retried": "again", "dead": "dead"}


@dataclass(frozen=True)
class Span:
    """A chart's time span: `slots` of `slot` seconds each."""

    name: str
    slot: int
    slots: int
    clock: str

    @property
    def seconds(self) -> int:
        return self.slot * self.slots


SPANS = {
    span.name: span
    for span in (Span("hour", 60, 60, "%H:%M"), Span("day", 900, 96, "%H:%M"), Span("week", 7200, 84, "%a %H:%M"))
}

SLOTS = """
SELECT (floor(extract(epoch FROM minute) / %s) * %s)::bigint, queue, max(depth), max(oldest_s),
       avg(succeeded + dead), avg(retried), avg(dead)
FROM backroom_ops_queueminute WHERE minute >= %s GROUP BY 1, 2 ORDER BY 1, 2
"""

Value = float | None
Found = dict[int, dict[str, Sequence[Value]]]  # slot → queue → the values of SLOTS


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name, its SVG path, and its class in ops.css: a colour and a pattern."""

    name: str
    path: str
    style: str


@dataclass(frozen=True)
class Chart:
    """`top` is the value at the upper edge, `tips` the x and the tooltip of each slot."""

    name: str
    top: str
    lines: list[Line]
    tips: list[tuple[float, str]]
    begin: str
    end: str
    slot_width: float


def charts(span: Span, now: datetime) -> list[Chart]:
    """The four charts of this span up to now."""
    last = int(now.timestamp()) // span.slot * span.slot
    times = [last - span.slot * back for back in reversed(range(span.slots))]
    found: Found = {time: {} for time in times}
    begin = datetime.fromtimestamp(times[0], UTC)
    for time, queue, *values in rows(SLOTS, span.slot, span.slot, begin):
        found.setdefault(time, {})[queue] = values
    queues = sorted({queue for slot in found.values() for queue in slot})

    def one(queue: str, column: int) -> list[Value]:
        return [found[time].get(queue, [None] * 5)[column] for time in times]

    def all_(column: int) -> list[Value]:
        return [_sum([values[column] for values in found[time].values()]) for time in times]

    return [
        _chart("Ready jobs", {queue: one(queue, 0) for queue in queues}, times, span, _count),
        _chart("Latency", {queue: one(queue, 1) for queue in queues}, times, span, seconds),
        _chart("Finished per minute", {queue: one(queue, 2) for queue in queues}, times, span, _count),
        _chart("Failed per minute", {"retried": all_(3), "dead": all_(4)}, times, span, _count),
    ]


def _sum(values: Sequence[Value]) -> Value:
    return sum(value for value in values if value is not None) if values else None


def _chart(
    name: str, series: dict[str, list[Value]], times: list[int], span: Span, shown: Callable[[Any], str]
) -> Chart:
    known = [value for values in series.values() for value in values if value is not None]
    top = max([1.0, *map(float, known)])
    step = WIDTH / len(times)
    clock = [datetime.fromtimestamp(time, UTC).strftime(span.clock) for time in times]
    tips = []
    for index, time in enumerate(clock):
        here = {line: values[index] for line, values in series.items()}
        words = ", ".join(f"{line} {shown(value)}" for line, value in here.items() if value is not None)
        tips.append((round(index * step, 2), f"{time}: {words or 'no data'}"))
    lines = [
        Line(line, _path(values, step, top), FAILED.get(line, f"k{index % PATTERNS + 1}"))
        for index, (line, values) in enumerate(series.items())
    ]
    return Chart(name, shown(top), lines, tips, clock[0], clock[-1], round(step, 2))


def _path(values: list[Value], step: float, top: float) -> str:
    """An SVG path through the values, with a gap for each None."""
    path, pen = [], "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x, y = (index + 0.5) * step, HEIGHT - 2 - float(value) / top * (HEIGHT - 6)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        if pen == "M":
            path.append(f"h{step / 10:.1f}")  # shows a value between two gaps
        pen = "L"
    return "".join(path)


def _count(value: float) -> str:
    return number_format(round(value, 1) if value < 10 else round(value), use_l10n=True, force_grouping=True)
