"""How a house is over time: the memory of its processes, the database's connections, the broker's memory."""

import statistics
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from lab.faults.stack import descendants
from tests.chaos.cluster import House

MIB = 1024 * 1024
MORE, NOISE = 1.1, 4  # what still counts as flat: this factor, and so many MiB (or connections)


class Vitals:
    """Samples by name: MiB of each process with its children, `connections`, and MiB of the `broker`."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.samples: dict[str, list[float]] = defaultdict(list)

    def sample(self) -> dict[str, float]:
        """What can be learned now; a server that is away is left out, and a process that has just been started."""
        now = {name: memory for name in self.house.names if name != "postgres" and (memory := self.memory(name))}
        with suppress(psycopg.Error), psycopg.connect(self.house.env["DATABASE_URL"], connect_timeout=2) as database:
            (now["connections"],) = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone() or (0,)
        with suppress(redis.RedisError), redis.Redis.from_url(self.house.env["BROKER_URL"], socket_timeout=2) as broker:
            now["broker"] = broker.info("memory")["used_memory"] / MIB
        for name, value in now.items():
            self.samples[name].append(value)
        return now

    def memory(self, name: str) -> float | None:
        """MiB of a process that has run for ten seconds, with its children; what they share counts once."""
        told = self.house.supervisor.call("getProcessInfo", name)
        if told["statename"] != "RUNNING" or told["now"] - told["start"] < 10:
            return None
        return sum(pss(pid) for pid in descendants(told["pid"])) / MIB

    def trends(self) -> dict[str, tuple[float, float]]:
        """For each series how high it was in its first half and in its last quarter. The upper quartile, as a process
        that has just been started, or is long at starting, is small."""
        found = {}
        for name, values in self.samples.items():
            if (quarter := len(values) // 4) > 0:
                found[name] = (high(values[: 2 * quarter]), high(values[-quarter:]))
        return found

    def growing(self) -> list[str]:
        """The series that are not flat."""
        return [name for name, (then, now) in self.trends().items() if now > then * MORE + NOISE]


def high(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[2] if len(values) > 1 else values[0]


def pss(pid: int) -> int:
    """A process's proportional share of memory, in bytes; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
