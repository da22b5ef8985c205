"""The naive shop's real processes."""

from pathlib import Path

from lab.faults.naive import processes
from tests.cluster import House


class NaiveHouse(House):
    """The house of lab/faults/naive: the same names, without a dispatcher."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs)
        self.env = processes.environment(self.env)

    def commands(self) -> dict[str, list[str]]:
        return processes.commands(self.env)
