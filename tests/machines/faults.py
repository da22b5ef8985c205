"""Faults of the network between machines, and of their clocks."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.context import Context
from tests.chaos.faults import SLOT_IN
from tests.machines.cluster import Machines
from tests.machines.network import Link
from tests.machines.work import seconds_until_all_work

AGAIN = 30.0  # seconds within which all processes work again
Harm = Callable[[Machines], None]


@dataclass
class Trouble:
    """A fault for some seconds. It measures `again`: seconds from its end until all processes work."""

    harm: Harm
    seconds: float = 20.0
    slots: int = 0  # slots of beat's schedule that come due meanwhile
    lasts: bool = False  # the fault stays until all jobs are done
    again: float | None = None

    def __call__(self, context: Context) -> None:
        machines = context.cluster
        assert isinstance(machines, Machines)
        context.strike()
        self.harm(machines)
        for _ in range(self.slots):
            context.slot()
        time.sleep(max(self.seconds, SLOT_IN + 5 if self.slots else 0))
        if not self.lasts:
            machines.network.heal()
        context.recover()
        self.again = seconds_until_all_work(machines, AGAIN)


def cut(*links: Link) -> Harm:
    return lambda machines: machines.network.cut(*links)


def alone(machine: str) -> Harm:
    """Cut a machine off from all others."""
    return lambda machines: machines.network.cut(*((machine, other) for other in machines.network.spaces))


def split(*half: str) -> Harm:
    """Cut these machines off from all others, not from each other. The partners stay within reach of all."""

    def harm(machines: Machines) -> None:
        others = set(machines.network.spaces) - {*half, "partners"}
        machines.network.cut(*((one, other) for one in half for other in others))

    return harm


def clock(machine: str, seconds: int) -> Harm:
    return lambda machines: machines.set_clock(machine, seconds)


def slow(machines: Machines) -> None:
    for machine in machines.network.spaces:
        machines.network.slow(machine)


def lossy(machines: Machines) -> None:
    for machine in machines.network.spaces:
        machines.network.lose(machine, 0.05)
