"""Measures the shop at rest; prints each process's share of a core and its memory: `python -m bench.idle [seconds]`."""

import sys
import time

from bench import results, shop
from bench.usage import Meter, memory_mb
from lab.faults.stack import descendants

SETTLE = 15  # seconds after the last process is ready: PostgreSQL writes what the start left behind


def main(seconds: float) -> None:
    with shop.running() as (_, pids):
        time.sleep(SETTLE)
        used = Meter(pids).run(seconds)
        rows: list[results.Row] = [
            {"process": name, "core_percent": used[name] / seconds * 100, "memory_mb": memory_mb(descendants(pid))}
            for name, pid in pids.items()
        ]
    rows.append({"process": "all", **{each: sum(row[each] for row in rows) for each in ("core_percent", "memory_mb")}})
    for row in rows:
        print(f"{row['process']:16} {row['core_percent']:6.2f} % of a core {row['memory_mb']:7.1f} MB")
    results.save("idle", rows, seconds=seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10 if results.quick() else 60)
