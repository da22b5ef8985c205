"""What each plot of docs/benchmarks.md shows: the function of bench.plots and its arguments."""

from typing import Any

from bench.contenders import OURS
from bench.targets import Measured, Row


def drain(found: Measured) -> Any:
    rows = sorted(found.rows["jobs"], key=lambda row: -(row.get("drain_per_s") or 0))
    bars = [(row["contender"], row["drain_per_s"], note(found, row)) for row in rows if row.get("drain_per_s")]
    return "bars", ("No-op jobs per second, two bodies at a time; jobs not done after all faults", bars, OURS), {}


def note(found: Measured, row: Row) -> str:
    """Jobs per second, and how many were not done in all cases of bench.hurt."""
    lost = [each["lost"] for each in found.find("hurt", contender=row["contender"]) if each.get("lost") is not None]
    return f"{row['drain_per_s']:,.0f}" + (f" · {sum(lost):,} not done" if lost else "")


def web(found: Measured) -> Any:
    level = max((row["concurrency"] for row in found.find("web", what="") if row["concurrency"] <= 8), default=None)
    rows = sorted(found.find("web", what="", concurrency=level), key=lambda row: row["p50_ms"])
    bars = [(row["way"], row["p50_ms"], f"{row['p50_ms']:,.0f} ms") for row in rows]
    return "bars", (f"Median of an order's answer, {level} customers at a time", bars, "shop"), {}


def burst(found: Measured) -> Any:
    rows = found.rows["burst_timeline"]
    at = [row["at"] for row in rows]
    memory = [
        (name, at, [row[f"{name}_mb"] for row in rows]) for name in ("worker-bulk", "web", "dispatcher", "postgres")
    ]
    age = ("Age of the oldest job", "seconds since the burst", "s", [("", at, [row["oldest_s"] for row in rows])])
    return "lines", (age, ("Memory (PSS)", "seconds since the burst", "MB", memory)), {}


def scaling(found: Measured) -> Any:
    panels = []
    for milliseconds in sorted({row["job_ms"] for row in found.rows["scaling"]}):
        rows = found.find("scaling", job_ms=milliseconds)
        xs, ys = [row["processes"] for row in rows], [row["jobs_per_s"] for row in rows]
        title = f"Jobs of {milliseconds} ms" if milliseconds else "No-op jobs"
        panels.append((title, "worker processes", "jobs/s", [("", xs, ys)]))
    return "lines", tuple(panels), {"marker": "o"}


def growth(found: Measured) -> Any:
    rows = found.find("growth", state="finished")
    sizes = [row["jobs"] for row in rows]
    series = [(name, sizes, [row[f"{name}_us"] for row in rows]) for name in ("claim", "finish", "due", "rescue")]
    return (
        "lines",
        (("PostgreSQL's CPU for a statement", "finished jobs", "µs", series),),
        {"marker": "o", "scale": "log"},
    )
