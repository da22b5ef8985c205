"""A cluster's resources over time: its processes' memory, the database's connections, the broker's memory."""

import statistics
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from lab.faults.stack import descendants
from tests.chaos.cluster import Cluster

MIB = 1024 * 1024
FACTOR, NOISE = 1.1, 4  # growth that counts as flat: a factor, and MiB (or connections) on top


class Resources:
    """Samples by name: MiB of each process with its children, `connections`, and MiB of the `broker`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.samples: dict[str, list[float]] = defaultdict(list)

    def sample(self) -> dict[str, float]:
        """The values now, without servers that are down and processes that have just started."""
        now = {name: memory for name in self.cluster.names if name != "postgres" and (memory := self.memory(name))}
        with suppress(psycopg.Error), psycopg.connect(self.cluster.env["DATABASE_URL"], connect_timeout=2) as database:
            (now["connections"],) = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone() or (0,)
        with suppress(redis.RedisError), self.cluster.client() as broker:
            now["broker"] = broker.info("memory")["used_memory"] / MIB
        for name, value in now.items():
            self.samples[name].append(value)
        return now

    def memory(self, name: str) -> float | None:
        """MiB of a process and its children, once it has run for ten seconds. Shared memory counts once."""
        info = self.cluster.control.call("getProcessInfo", name)
        if info["statename"] != "RUNNING" or info["now"] - info["start"] < 10:
            return None
        return sum(pss(pid) for pid in descendants(info["pid"])) / MIB

    def trends(self) -> dict[str, tuple[float, float]]:
        """The highest tenth of each series begins here: in its first half, and in its last quarter.

        A worker is small after each fault, until its jobs have loaded their libraries. So only the highest samples of
        two windows can be compared."""
        found = {}
        for name, values in self.samples.items():
            if (quarter := len(values) // 4) > 0:
                found[name] = (high(values[: 2 * quarter]), high(values[-quarter:]))
        return found

    def growing(self) -> list[str]:
        """The series that are not flat."""
        return [name for name, (then, now) in self.trends().items() if now > then * FACTOR + NOISE]


def high(values: list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1] if len(values) > 1 else values[0]


def pss(pid: int) -> int:
    """A process's proportional share of memory, in bytes; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
