"""What processes use: CPU time of all their threads, and memory. Linux only."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.faults.stack import descendants

EVERY = 0.5  # seconds between two looks; a thread that lives shorter may be missed


def cpu_seconds(pids: list[int]) -> dict[tuple[int, str], float]:
    """CPU time so far of each thread, by process and thread. By the scheduler's clock, as ticks are 10 ms."""
    found = {}
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                found[pid, file.parent.name] = int(file.read_text().split()[0]) / 1e9
    return found


def memory_mb(pids: list[int]) -> float:
    """Proportional share of memory (PSS): what several processes share is counted once in their sum."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024 / 1e6


class Meter:
    """CPU seconds of named processes and all their children since it was made, also of those that end meanwhile."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self.used = dict.fromkeys(pids, 0.0)
        self.last = {name: cpu_seconds(descendants(pid)) for name, pid in pids.items()}

    def look(self) -> None:
        for name, pid in self.pids.items():
            now = cpu_seconds(descendants(pid))
            self.used[name] += sum(seconds - self.last[name].get(thread, 0) for thread, seconds in now.items())
            self.last[name] = now

    def run(self, seconds: float) -> dict[str, float]:
        """Look every EVERY seconds, for this number of seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(EVERY, max(0, end - time.monotonic())))
            self.look()
        return self.used
