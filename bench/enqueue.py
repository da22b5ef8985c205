"""Measures enqueueing alone; prints jobs per second and memory: `python -m bench.enqueue [jobs]`.

No worker runs. All jobs in one call, beside a loop of Celery's `.delay()` without a ledger.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import cluster, results


def main(jobs: int) -> None:
    results.save("enqueue", enqueueing(jobs), jobs=jobs)


def enqueueing(jobs: int) -> list[results.Row]:
    """Jobs per second of each way, and how much the process grows for one call."""
    with cluster.running():
        from bench import bare, tasks  # noqa: PLC0415 - need Django to be set up

        # A .delay() costs the same each time, so a tenth of the jobs tells its speed.
        ways: dict[str, tuple[int, Callable[[int], Any]]] = {
            "one call": (jobs, tasks.enqueue),
            ".delay() loop": (jobs // 10, bare.enqueue),
        }
        for count, enqueue in ways.values():
            enqueue(count // 10)  # warms up
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(2 if results.quick() else 5):
            for name, (count, enqueue) in ways.items():
                measured[name].append(of_one_call(count, enqueue))
    rows = []
    for name, (count, _) in ways.items():
        rate, growth = (statistics.median(each) for each in zip(*measured[name], strict=True))
        rows.append({"way": name, "jobs": count, "jobs_per_s": rate, "growth_mb": growth})
        print(f"{name:16} {rate:10.0f} jobs/s, {growth:6.1f} MB more at its peak", flush=True)
    return rows


def of_one_call(jobs: int, enqueue: Callable[[int], Any]) -> tuple[float, float]:
    """Jobs per second, and megabytes by which the process grew at its peak."""
    own = Path("/proc/self")
    (own / "clear_refs").write_text("5")  # begins the peak anew
    before, begin = memory(own, "VmRSS"), time.perf_counter()
    enqueue(jobs)
    return jobs / (time.perf_counter() - begin), memory(own, "VmHWM") - before


def memory(process: Path, field: str) -> float:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
