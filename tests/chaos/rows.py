"""The matrix: every row as data. How a fault is brought about stands in faults.py."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from signal import SIGKILL, SIGSTOP, SIGTERM, Signals

from tests.chaos import faults
from tests.chaos.context import Scene

RESCUED = 20.0  # seconds: the promised 15, and the start of a new process
SETTLED = 80.0  # the net under the checkout waits a minute; then as above
REDELIVERED = 60.0  # what the broker lost
HEALED = 30.0  # after a partner or a server is back: the pauses of the retries that it caused
WORDS = {SIGKILL: "SIGKILL", SIGSTOP: "SIGSTOP, SIGCONT", SIGTERM: "SIGTERM"}


@dataclass(frozen=True)
class Row:
    """A fault at a boundary. `within`: seconds in which all is finished. `twice`: how many effects the written limits
    allow to happen twice. `needs`: processes beyond the usual ones. `naive`: whether the boundary exists without a
    ledger."""

    part: str
    boundary: str
    fault: str
    act: Callable[[Scene], None]
    within: float
    twice: int = 0
    needs: tuple[str, ...] = ()
    naive: bool = True
    quick: bool = False
    patience: tuple[bool, ...] = (True, True, False)  # of each customer: whether one who got no answer asks again

    @property
    def id(self) -> str:
        return f"{self.part} | {self.boundary} | {self.fault}"


def web() -> list[Row]:
    """A checkout, cut at each of its steps. Who sends the request again is served at once, so most rows have customers
    who don't: then the safety net has to come."""
    net = ("after commit A", "authorize in flight", "after authorize", "before commit B")
    rows = []
    for boundary in ("before commit A", *net, "after commit B", "after publish"):
        for number, which, patient in CUTS:
            if (number, which) == (SIGSTOP, "child") and boundary != "after authorize":
                continue
            # With all of the web go the requests of other customers, wherever they stand.
            within = SETTLED if (boundary in net or which == "all") and number != SIGTERM else RESCUED
            fault = told(number, which) + (", the customer asks again" if patient else "")
            act = faults.at("web", boundary, number, which)
            quick = (boundary, number, which) in QUICK and not patient
            rows.append(Row("web", boundary, fault, act, within, quick=quick, patience=(patient,) * 3))
    return rows


CUTS = (
    (SIGKILL, "child", True),
    (SIGKILL, "child", False),
    (SIGKILL, "all", False),
    (SIGTERM, "main", False),
    (SIGSTOP, "all", False),
    (SIGSTOP, "child", False),
)


def told(number: Signals, which: str) -> str:
    return f"{WORDS[number]} to {'the process' if which == 'only' else which}"


# Boundary, the worker that meets it, and the job that is stopped there.
JOBS = (
    ("after claim", "worker-bulk", "analytics"),
    ("in the effect", "worker-bulk", "analytics"),
    ("after the effect", "worker-bulk", "analytics"),
    ("after the effect", "worker-critical", "receipt"),
    ("before commit of an atomic job", "worker-critical", ""),
    ("after finish", "worker-critical", ""),
)


def worker() -> list[Row]:
    """A job, cut at each of its steps."""
    signals = ((SIGKILL, "child"), (SIGKILL, "main"), (SIGKILL, "all"), (SIGTERM, "main"), (SIGSTOP, "all"))
    rows = []
    for (boundary, process, words), (number, which) in product(JOBS, signals):
        # The limit: no mail server knows keys. Between its 250 and our commit a mail is sent again; so is one that the
        # other child of a worker was sending when the whole of it was frozen or killed.
        mailed = number != SIGTERM and (words == "receipt" or (process == "worker-critical" and which != "child"))
        step = f"{boundary} (mail)" if words == "receipt" else boundary
        act = faults.at(process, boundary, number, which, words)
        needs = (f"{process}-2",) if number == SIGSTOP else ()
        quick = (step, number, which) in QUICK
        rows.append(Row("worker", step, told(number, which), act, RESCUED, int(mailed), needs, quick=quick))
    hung = faults.at("worker-bulk", "after claim", SIGSTOP, "child", "analytics")
    return [*rows, Row("worker", "after claim", f"{told(SIGSTOP, 'child')}, till its time limit", hung, SETTLED)]


def dispatcher() -> list[Row]:
    """Retries, cut on their way from the ledger to the broker."""
    rows = []
    for boundary, number in product(("rows locked", "rows taken", "rows published"), (SIGKILL, SIGTERM, SIGSTOP)):
        for needs in ((), ("dispatcher-2",)):
            if number == SIGSTOP and not needs:
                continue  # nobody else could do its work: it does so itself when it is back
            act = faults.dispatching(boundary, number)
            fault = f"{told(number, 'only')}, {'one of two' if needs else 'the only one'}"
            quick = (boundary, number, "only") in QUICK and bool(needs)
            rows.append(Row("dispatcher", boundary, fault, act, RESCUED, 0, needs, False, quick))
    both = Row("dispatcher", "-", "two of them", faults.two_dispatchers, RESCUED, 0, ("dispatcher-2",), False)
    return [*rows, both]


def beat() -> list[Row]:
    """A slot of the schedule, cut on its way into the ledger."""
    rows = []
    for boundary, number in product(("slot enqueued", "slot committed", "slot published"), (SIGKILL, SIGTERM, SIGSTOP)):
        needs = ("beat", "beat-2") if number == SIGSTOP else ("beat",)
        exists = boundary != "slot enqueued"
        act = faults.firing(boundary, number)
        rows.append(Row("beat", boundary, told(number, "only"), act, RESCUED, 0, needs, exists))
    both = Row("beat", "-", "two of them", faults.two_beats, RESCUED, 0, ("beat", "beat-2"))
    return [*rows, both]


def servers() -> list[Row]:
    """Broker and database, under all the others."""
    return [
        Row("broker", "messages waiting", fault, act, within, quick=quick)
        for fault, act, within, quick in (
            ("SIGKILL, its file is kept", faults.broker_killed, REDELIVERED, False),
            ("SIGSTOP for 8 s, SIGCONT", faults.broker_frozen, REDELIVERED, False),
            ("restart", faults.broker_restarted, REDELIVERED, False),
            ("FLUSHALL", faults.broker_flushed, REDELIVERED, True),
            ("stopped, its data lost, started", faults.broker_lost, REDELIVERED, False),
            ("stopped, its file cut to half, started", faults.broker_truncated, REDELIVERED, False),
        )
    ] + [
        # An order whose transaction B failed waits for the net.
        Row("database", "under all of them", fault, act, SETTLED)
        for fault, act in (
            ("SIGKILL to the postmaster", faults.database_killed),
            ("SIGSTOP to all of it for 8 s, SIGCONT", faults.database_frozen),
            ("restart", faults.database_restarted),
        )
    ]


FAULTS = {
    "3 s of latency": {"latency_ms": 3000},
    "every second request fails": {"error_rate": 0.5},
    "every request fails": {"status": 503},
    "hangs": {"hang": True},
    "down": {"down": True},
    "does the work and says it failed": {"accept_then_fail": True},
    "does the work and answers a byte a second": {"trickle_ms": 1000},
    "does the work and breaks off its answer": {"truncate": True},
    "does the work and answers nonsense": {"garbage": True},
}


def partners() -> list[Row]:
    """Each partner with each fault, for some seconds."""
    rows = []
    for partner, (fault, switches) in product(("payments", "warehouse", "fraud", "analytics", "mail"), FAULTS.items()):
        # A mail that was kept without a clear 250 is sent again each time: the sender can't know.
        twice = 1000 if partner == "mail" and fault.startswith("does the work") else 0
        if partner == "mail" and "status" in switches:
            switches = {"status": 451}  # a mail server's 5xx refuses a mail for good, and a dead letter is right
        rows.append(Row(f"partner {partner}", "for 6 s", fault, faults.partner(partner, switches), HEALED, twice))
    return rows


def oddities() -> list[Row]:
    """What else the ledger promises to outlive."""
    return [
        Row(part, boundary, fault, act, RESCUED, naive=False, quick=quick)
        for part, boundary, fault, act, quick in (
            ("publish", "of an order's jobs", "arrived, its answer got lost", faults.answer_lost, False),
            ("publish", "of every job", "each message twice more", faults.delivered_twice, True),
            ("job", "poison", "os._exit in each attempt", faults.poison("exit"), False),
            ("job", "poison", "killed for its memory in each attempt", faults.poison("out of memory"), False),
            ("job", "45 s long", "none: a live worker keeps it", faults.long_job, False),
        )
    ]


QUICK = {
    ("after authorize", SIGKILL, "all"),
    ("after commit B", SIGKILL, "child"),
    ("in the effect", SIGKILL, "all"),
    ("after claim", SIGKILL, "child"),
    ("after the effect (mail)", SIGKILL, "all"),
    ("after finish", SIGKILL, "all"),
    ("after claim", SIGSTOP, "all"),
    ("rows locked", SIGKILL, "only"),
}
ALL = [*web(), *worker(), *dispatcher(), *beat(), *servers(), *partners(), *oddities()]
