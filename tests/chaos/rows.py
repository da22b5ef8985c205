"""The matrix: every row as data. faults.py and server_faults.py cause the faults."""

from dataclasses import dataclass
from itertools import product
from signal import SIGKILL, SIGSTOP, SIGTERM, Signals

from lab.faults import CHECKLIST, LEDGERED, NAIVE
from lab.faults.failpoints.points import PAYMENT_WEBHOOK, SYNC, WEBHOOK
from lab.faults.stack import BEHIND_AN_ORDER
from tests import brokers
from tests.chaos import faults, messages, pictures, server_faults, sync
from tests.chaos.faults import Fault
from tests.chaos.imports import importing
from tests.chaos.name_fault import name_taken
from tests.chaos.search_rebuild import A_CHUNK, THE_SWAP, rebuild

RESCUED = 20.0  # seconds: the promised 15, and the start of a new process
SETTLED = 80.0  # the checkout's safety net waits a minute; then as above
ERASED = 40.0  # an erasure looks every ten seconds whether its order is at its end
REDELIVERED = brokers.found_within()  # for messages that the broker lost
HEALED = 30.0  # for the retries that a partner's outage caused, or the locks of a frozen transaction
NAMES = {SIGKILL: "SIGKILL", SIGSTOP: "SIGSTOP, SIGCONT", SIGTERM: "SIGTERM"}


@dataclass(frozen=True)
class Row:
    """A fault at a boundary. `within`: seconds until all jobs are done. `twice`: effects that may happen twice, by the
    written limits. `needs`: processes besides the usual ones. `naive`: whether the boundary exists without a ledger."""

    part: str
    boundary: str
    fault: str
    inject: Fault
    within: float
    twice: int = 0
    needs: tuple[str, ...] = ()
    naive: bool = True
    retries: tuple[bool, ...] = (True, True, False)  # of each customer: whether they retry a failed request

    @property
    def id(self) -> str:
        return f"{self.part} | {self.boundary} | {self.fault}"

    @property
    def shops(self) -> list[str]:
        """The shops that run it. For Celery's checklist only rows in which its options or a restart can matter: with a
        partner's fault both shops without a ledger do the same, and of the web one signal at each step is enough."""
        if not self.naive:
            return [LEDGERED]
        same = self.part.startswith("partner") or (self.part == "web" and self.fault != sent(SIGKILL, "child"))
        return [LEDGERED, NAIVE, *([] if same else [CHECKLIST])]


def web() -> list[Row]:
    """A checkout, interrupted at each of its steps. A retry finishes an order at once, so in most rows no customer
    retries: then only the safety net can."""
    net = ("after commit A", "authorize in flight", "after authorize", "before commit B")
    rows = []
    for boundary in ("before commit A", *net, "after commit B", "after publish"):
        for number, target, retries in SIGNALS:
            if (number, target) == (SIGSTOP, "child") and boundary != "after authorize":
                continue
            # A signal to all of the web also interrupts other customers' requests, at any step.
            within = SETTLED if (boundary in net or target == "all") and number != SIGTERM else RESCUED
            fault = sent(number, target) + (", the customer retries" if retries else "")
            inject = faults.at("web", boundary, number, target)
            rows.append(Row("web", boundary, fault, inject, within, retries=(retries,) * 3))
    return rows


SIGNALS = (
    (SIGKILL, "child", True),
    (SIGKILL, "child", False),
    (SIGKILL, "all", False),
    (SIGTERM, "main", False),
    (SIGSTOP, "all", False),
    (SIGSTOP, "child", False),
)


def sent(number: Signals, target: str) -> str:
    return f"{NAMES[number]} to {'the process' if target == 'only' else target}"


# Boundary, worker, and the job that stops there.
JOBS = (
    ("after claim", "worker-bulk", "analytics"),
    ("in the effect", "worker-bulk", "analytics"),
    ("after the effect", "worker-bulk", "analytics"),
    ("after the effect", "worker-critical", "receipt"),
    ("before commit of an atomic job", "worker-critical", ""),
    ("after finish", "worker-critical", ""),
)


def worker() -> list[Row]:
    """A job, interrupted at each of its steps."""
    signals = ((SIGKILL, "child"), (SIGKILL, "main"), (SIGKILL, "all"), (SIGTERM, "main"), (SIGSTOP, "all"))
    rows = []
    for (boundary, process, match), (number, target) in product(JOBS, signals):
        # The limit: SMTP has no idempotency keys. A worker that dies between the server's 250 and the commit causes a
        # second mail. So does the worker's other child, if it was sending when the whole worker was frozen or killed.
        mailed = number != SIGTERM and (match == "receipt" or (process == "worker-critical" and target != "child"))
        step = f"{boundary} (mail)" if match == "receipt" else boundary
        inject = faults.at(process, boundary, number, target, match)
        needs = (f"{process}-2",) if number == SIGSTOP else ()
        # A frozen transaction keeps its locks for 10 s. The jobs behind it give up after 5 s, and retry.
        within = HEALED if number == SIGSTOP and "commit" in boundary else RESCUED
        rows.append(Row("worker", step, sent(number, target), inject, within, int(mailed), needs))
    hung = faults.at("worker-bulk", "after claim", SIGSTOP, "child", "analytics")
    return [*rows, Row("worker", "after claim", f"{sent(SIGSTOP, 'child')}, until its time limit", hung, SETTLED)]


def dispatcher() -> list[Row]:
    """Retries, interrupted between the ledger and the broker."""
    rows = []
    for boundary, number in product(("rows locked", "rows taken", "rows published"), (SIGKILL, SIGTERM, SIGSTOP)):
        for needs in ((), ("dispatcher-2",)):
            if number == SIGSTOP and not needs:
                continue  # no other process can do its work, so it does it itself when it continues
            inject = faults.dispatching(boundary, number)
            fault = f"{sent(number, 'only')}, {'one of two' if needs else 'the only one'}"
            rows.append(Row("dispatcher", boundary, fault, inject, RESCUED, 0, needs, False))
    both = Row("dispatcher", "-", "two of them", faults.two_dispatchers, RESCUED, 0, ("dispatcher-2",), False)
    return [*rows, both]


def beat() -> list[Row]:
    """A slot of the schedule, interrupted on its way into the ledger."""
    rows = []
    for boundary, number in product(("slot enqueued", "slot committed", "slot published"), (SIGKILL, SIGTERM, SIGSTOP)):
        needs = ("beat", "beat-2") if number == SIGSTOP else ("beat",)
        inject, naive = faults.firing(boundary, number), boundary != "slot enqueued"
        rows.append(Row("beat", boundary, sent(number, "only"), inject, RESCUED, 0, needs, naive))
    both = Row("beat", "-", "two of them", faults.two_beats, RESCUED, 0, ("beat", "beat-2"))
    return [*rows, both]


def servers() -> list[Row]:
    """Broker and database, which all other processes need."""
    broker = server_faults.broker
    failover = (
        ("failover by order, the old primary answers READONLY", broker(server_faults.failed_over)),
        ("SIGSTOP until the replica is promoted, SIGKILL", broker(server_faults.primary_lost)),
    )
    return [
        Row("broker", "messages waiting", fault, inject, REDELIVERED)
        for fault, inject in (
            ("SIGKILL, its file is kept", broker(server_faults.killed, comes_back=False)),
            ("SIGSTOP for 8 s, SIGCONT", broker(server_faults.frozen)),
            ("restart", broker(server_faults.restarted)),
            ("FLUSHALL", broker(server_faults.flushed, comes_back=False)),
            ("stopped, its data lost, started", broker(server_faults.data_lost)),
            ("stopped, its file cut to half, started", broker(server_faults.truncated)),
            *(failover if brokers.chosen() == "sentinel" else ()),
        )
        if not brokers.cannot(f"row: {fault}")
    ] + [
        # An order whose transaction B failed waits for the safety net.
        Row("database", "under load", fault, inject, SETTLED)
        for fault, inject in (
            ("SIGKILL to the postmaster", server_faults.database_killed),
            ("SIGSTOP to all of it for 8 s, SIGCONT", server_faults.database_frozen),
            ("restart", server_faults.database_restarted),
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
    """Each partner behind an order with each fault, for six seconds."""
    rows = []
    for partner, (fault, switches) in product(BEHIND_AN_ORDER, FAULTS.items()):
        # The server kept the mail and sent no clear 250, so the sender can't tell and sends it again each time.
        twice = 1000 if partner == "mail" and fault.startswith("does the work") else 0
        if partner == "mail" and "status" in switches:
            switches = {"status": 451}  # a mail server's 5xx is permanent, and a dead letter is right
        rows.append(
            Row(f"partner {partner}", "for 6 s", fault, server_faults.partner(partner, switches), HEALED, twice)
        )
    return rows


def messages_and_jobs() -> list[Row]:
    """Odd messages, and jobs that kill their worker or run long."""
    return [
        Row(part, boundary, fault, inject, RESCUED, naive=False)
        for part, boundary, fault, inject in (
            ("publish", "of an order's jobs", "arrived, the answer was lost", server_faults.answer_lost),
            ("publish", "of every job", "each message twice more", server_faults.delivered_twice),
            ("job", "poison", "os._exit in each attempt", faults.poison("exit")),
            ("job", "poison", "killed for its memory in each attempt", faults.poison("out of memory")),
            ("job", "in a row's step", sent(SIGKILL, "child"), faults.cut_off(SIGKILL, "child")),
            ("job", "in a row's step", sent(SIGTERM, "main"), faults.cut_off(SIGTERM, "main")),
            ("job", "a chunk of the search index, in its step", sent(SIGKILL, "child"), rebuild(A_CHUNK)),
            ("job", "the swap of the search index, in its step", sent(SIGKILL, "child"), rebuild(THE_SWAP)),
            ("job", "unique name taken, not committed", "SIGKILL to its process", name_taken),
            ("job", "45 s long", "none: a live worker keeps it", faults.long_job),
        )
    ]


def lanes() -> list[Row]:
    """Jobs that run one after the other, and a process that has their lane's only place in its hands."""
    return [
        Row("lane", boundary, sent(SIGKILL, target), faults.in_order(*where, target), RESCUED, naive=False)
        for boundary, target, where in (
            ("after claim", "all", ("worker-bulk", "after claim", "'day'")),
            ("after finish, next one opened", "all", ("worker-bulk", "place given", "mail_sales_report")),
            ("place given", "only", ("dispatcher", "place given", "mail_sales_report")),
        )
    ]


def batches() -> list[Row]:
    """A batch, whose last member or whose callback is in the hands of a process that dies."""
    return [
        Row("batch", boundary, sent(SIGKILL, target), faults.of_a_batch(*where), RESCUED, naive=False)
        for boundary, target, where in (
            ("last member claimed", "child", ("worker-bulk", "after claim", "child", 2)),
            ("closed, callback unpublished", "only", ("dispatcher", "rows taken", "only", 3)),
        )
    ]


def imports() -> list[Row]:
    """An import of 1,500 products out of a workbook, and its undo, interrupted at each of their steps."""
    return [
        Row("import", boundary, sent(SIGKILL, target), importing(*where, target), RESCUED, naive=False)
        for boundary, target, where in (
            ("in a step of the dry run", "child", ("in a step of a resumable job", "import-stage")),
            ("chunk claimed", "all", ("after claim", "import-chunk")),
            ("chunk written, not committed", "child", ("after the effect", "import-chunk")),
            ("workbook converted, not in its place", "all", ("workbook converted", "")),
            ("workbook replaced, not looked into", "all", ("workbook replaced", "")),
            ("end claimed", "all", ("after claim", "import-end")),
            ("end written, not committed", "child", ("after the effect", "import-end")),
            ("undo's chunk claimed", "all", ("after claim", "import-undo:")),
            ("undo's chunk written, not committed", "child", ("after the effect", "import-undo:")),
            ("undo's end written, not committed", "child", ("after the effect", "import-undone")),
        )
    ]


DELETIONS = (
    ("an order's erasure, before it", "after claim", "worker-bulk", "key='erase:"),
    ("an order's erasure, after it", "after the effect", "worker-bulk", "key='erase:"),
    ("the account's end, before it", "after claim", "worker-default", "key='account:"),
    ("the account's end, after it", "after the effect", "worker-default", "key='account:"),
)


def people() -> list[Row]:
    """Each kind of message to a person, a campaign's fan-out, and a webhook of the warehouse."""
    kill, fan_out = sent(SIGKILL, "all"), "a campaign's fan-out"
    rows = []
    for (what, message), step in product(messages.MESSAGES.items(), messages.STEPS):
        inject, twice = messages.sending(what, step), message.twice(step)
        needs = (message.process,)
        rows.append(Row("message", f"{what}, {step}", kill, inject, RESCUED, twice, needs, naive=False))
    rows.append(Row("message", fan_out, "FLUSHALL", messages.fan_out_flushed, REDELIVERED, naive=False))
    both = ("dispatcher-2",)
    rows.append(Row("message", fan_out, "two dispatchers", messages.fan_out_by_two, RESCUED, needs=both, naive=False))
    for what, *where in DELETIONS:
        inject = messages.deleting(*where)
        rows.append(Row("deletion of an account", what, kill, inject, ERASED, naive=False))
    for point in WEBHOOK:
        step, inject = point.removesuffix(" of a webhook"), messages.in_the_webhook(point)
        rows.append(Row("webhook", step, kill, inject, RESCUED, naive=False))
    return rows


def of_pictures() -> list[Row]:
    """A picture, whose worker dies at each boundary of its steps, or in each attempt."""
    kill, needs = sent(SIGKILL, "all"), (pictures.WORKER,)
    return [
        Row("picture", boundary, fault, inject, RESCUED, needs=needs, naive=False)
        for boundary, fault, inject in (
            ("before a step", kill, pictures.in_a_step("after claim", "media-webp")),
            ("in a decoder", kill, pictures.in_a_step("in a decoder", "")),
            ("files stored, not named", kill, pictures.in_a_step("files stored", "'avif'")),
            ("published, not finished", kill, pictures.in_a_step("after the effect", "media-publish")),
            ("in a decoder", "killed for its memory in each attempt", pictures.decoder_dies),
        )
    ]


def bulk() -> list[Row]:
    """Pages of the supplier, batches for the accounting partner, and reports of the payment gateway."""
    kill = sent(SIGKILL, "all")
    faults_at = [("sync", point, sync.of_a_page(point), RESCUED) for point in SYNC]
    faults_at += [
        ("sync", f"batch of documents, {step}", sync.of_a_batch_of_documents(point), RESCUED)
        for step, point in (("claimed", "after claim"), ("sent", "in the effect"), ("booked", "after the effect"))
    ]
    # The web's death interrupts the checkouts, too.
    faults_at += [("webhook", point, sync.of_a_payments_report(point), SETTLED) for point in PAYMENT_WEBHOOK]
    return [Row(part, step, kill, inject, within, naive=False) for part, step, inject, within in faults_at]


ALL = [
    *web(), *worker(), *dispatcher(), *beat(), *servers(), *partners(), *messages_and_jobs(), *lanes(), *batches(),
    *people(), *of_pictures(), *bulk(), *imports(),
]  # fmt: skip
