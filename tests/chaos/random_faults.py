"""Random trouble for a house under load: what it may be, drawn from dice that can be thrown again."""

import random
import threading
from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import redis

from lab.faults.stack import descendants, send
from stack.processes import QUEUES
from tests.chaos.cluster import House

BACK_ROOM = (*(f"worker-{queue}" for queue in QUEUES), "dispatcher", "dispatcher-2", "beat")
PARTNERS = ("payments", "warehouse", "fraud", "analytics", "mail")
FAULTS: tuple[dict[str, object], ...] = (
    {"latency_ms": 3000},
    {"error_rate": 0.5},
    {"status": 503},
    {"status": 429},
    {"hang": True},
    {"down": True},
    {"accept_then_fail": True},
)


class Trouble:
    """Each `strike` is one mishap; what must be taken back (frozen, faulty) is, by itself, some seconds later."""

    def __init__(self, house: House, dice: random.Random) -> None:
        self.house, self.dice = house, dice
        self.pending: list[threading.Timer] = []

    def strike(self) -> str:
        """One mishap, and what it was."""
        kinds: dict[Callable[[], str], int] = {
            self.signal_to_a_process: 60,
            self.partner_in_trouble: 22,
            self.broker_in_trouble: 10,
            self.database_in_trouble: 8,
        }
        (kind,) = self.dice.choices(list(kinds), list(kinds.values()))
        return kind()

    def over(self) -> None:
        """Returns when all that was to be taken back is."""
        for timer in self.pending:
            timer.join()
        self.pending.clear()

    def signal_to_a_process(self) -> str:
        name = self.dice.choice(("web", *BACK_ROOM))
        number = self.dice.choice((SIGKILL, SIGKILL, SIGSTOP, SIGTERM))
        family = self.family(name)
        whom = "main" if number == SIGTERM else self.dice.choice(("main", "a child", "all"))
        victim = self.dice.choice(family[1:] or family)
        seconds = self.dice.uniform(1, 20)
        self.send(number, {"main": family[:1], "a child": [victim], "all": family}[whom], seconds)
        return f"{number.name} to {whom} of {name}" + (f" for {seconds:.0f} s" if number == SIGSTOP else "")

    def partner_in_trouble(self) -> str:
        name, switches = self.dice.choice(PARTNERS), self.dice.choice(FAULTS)
        seconds = self.dice.uniform(2, 15)
        if name == "mail" and "accept_then_fail" in switches:
            switches = {"down": True}  # a server that takes mails and denies it gets them twice: nothing can help that
        elif name == "mail" and "status" in switches:
            switches = {"status": 451}  # what HTTP says by 503; to SMTP a 5xx is a refusal for good
        self.house.fault(name, **switches)
        self.later(seconds, lambda: self.house.fault(name))
        return f"{name}: {switches} for {seconds:.0f} s"

    def broker_in_trouble(self) -> str:
        what, seconds = self.dice.choice(("SIGKILL", "SIGSTOP", "SIGTERM", "FLUSHALL")), self.dice.uniform(1, 8)
        if what == "FLUSHALL":
            try:
                redis.Redis.from_url(self.house.env["BROKER_URL"], socket_timeout=2).flushall()
            except redis.RedisError:
                return "FLUSHALL to a broker that is away"
        else:
            self.send(Signals[what], self.family("valkey")[:1], seconds)
        return f"{what} to the broker"

    def database_in_trouble(self) -> str:
        number, seconds = self.dice.choice((SIGKILL, SIGSTOP, Signals.SIGINT)), self.dice.uniform(1, 6)
        family = self.family("postgres")
        self.send(number, family if number == SIGSTOP else family[:1], seconds)
        return f"{number.name} to the database"

    def family(self, name: str) -> list[int]:
        """A process and its children; nobody while it is being started again (pid 0 would be ourselves)."""
        pid = self.house.pid(name)
        return descendants(pid) if pid else []

    def send(self, number: Signals, pids: list[int], seconds: float) -> None:
        send(number, pids)
        if number == SIGSTOP:
            self.later(seconds, lambda: send(SIGCONT, pids))

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """In a thread of its own: whoever else asks a frozen server waits for it."""
        self.pending.append(threading.Timer(seconds, what))
        self.pending[-1].start()
