"""Random faults for a cluster under load. The same seed gives the same faults."""

import random
import threading
from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import redis

from lab.faults.stack import BEHIND_AN_ORDER, send
from stack.processes import QUEUES
from tests.chaos.cluster import Cluster

BACK_ROOM = (*(f"worker-{queue}" for queue in QUEUES), "dispatcher", "dispatcher-2", "beat")
FAULTS: tuple[dict[str, object], ...] = (
    {"latency_ms": 3000},
    {"error_rate": 0.5},
    {"status": 503},
    {"status": 429},
    {"hang": True},
    {"down": True},
    {"accept_then_fail": True},
)


class RandomFaults:
    """Each `inject` causes one fault. A timer ends it some seconds later."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self.cluster, self.dice = cluster, dice
        self.pending: list[threading.Timer] = []

    def inject(self) -> str:
        """Cause one fault. Returns its description."""
        kinds: dict[Callable[[], str], int] = {
            self.signal: 60,
            self.partner: 22,
            self.broker: 10,
            self.database: 8,
        }
        (kind,) = self.dice.choices(list(kinds), list(kinds.values()))
        return kind()

    def wait(self) -> None:
        """Wait until all faults have ended."""
        for timer in self.pending:
            timer.join()
        self.pending.clear()

    def signal(self) -> str:
        name = self.dice.choice(("web", *BACK_ROOM))
        number = self.dice.choice((SIGKILL, SIGKILL, SIGSTOP, SIGTERM))
        if not (family := self.cluster.family(name)):
            return f"none: supervisord restarts {name}"
        target = "main" if number == SIGTERM else self.dice.choice(("main", "a child", "all"))
        victim = self.dice.choice(family[1:] or family)
        seconds = self.dice.uniform(1, 20)
        self.send(number, {"main": family[:1], "a child": [victim], "all": family}[target], seconds)
        return f"{number.name} to {target} of {name}" + (f" for {seconds:.0f} s" if number == SIGSTOP else "")

    def partner(self) -> str:
        name, switches = self.dice.choice(BEHIND_AN_ORDER), self.dice.choice(FAULTS)
        seconds = self.dice.uniform(2, 15)
        if name == "mail" and "accept_then_fail" in switches:
            switches = {"down": True}  # the written limit: that server gets mails twice
        elif name == "mail" and "status" in switches:
            switches = {"status": 451}  # SMTP's temporary error; its 5xx are permanent
        self.cluster.fault(name, **switches)
        self.later(seconds, lambda: self.cluster.fault(name))
        return f"{name}: {switches} for {seconds:.0f} s"

    def broker(self) -> str:
        what, seconds = self.dice.choice(("SIGKILL", "SIGSTOP", "SIGTERM", "FLUSHALL")), self.dice.uniform(1, 8)
        if what == "FLUSHALL":
            try:
                with self.cluster.client() as client:
                    client.flushall()
            except redis.RedisError:
                return "FLUSHALL to a broker that is down"
        else:
            self.send(Signals[what], self.cluster.family("valkey")[:1], seconds)
        return f"{what} to the broker"

    def database(self) -> str:
        number, seconds = self.dice.choice((SIGKILL, SIGSTOP, Signals.SIGINT)), self.dice.uniform(1, 6)
        family = self.cluster.family("postgres")
        self.send(number, family if number == SIGSTOP else family[:1], seconds)
        return f"{number.name} to the database"

    def send(self, number: Signals, pids: list[int], seconds: float) -> None:
        send(number, pids)
        if number == SIGSTOP:
            self.later(seconds, lambda: send(SIGCONT, pids))

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """On a timer: a request to a frozen server blocks its thread."""
        self.pending.append(threading.Timer(seconds, what))
        self.pending[-1].start()
