"""A row's context: the cluster under load, and what a fault needs to know about it."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from signal import SIGCONT, SIGSTOP

import psycopg

from backroom.ledger.models import LIVE, Job
from lab.faults import slots
from lab.faults.failpoints import Armed, Hit
from lab.faults.stack import send
from orders.models import Order, Status
from stack import environment
from tests.chaos.cluster import Cluster
from tests.waiting import until

TIMEOUT = 90.0  # seconds until a process hits a point; one or two on an idle machine
SLOT_IN = 8  # seconds until a slot is due; beat reads its tables every five
IDS = re.compile(r"(?:Message|Claimed)\(id='([0-9a-f-]{36})'")


class Context:
    """One row on one cluster. `struck`: the time of the fault. `recovered`: the time when a server or partner that the
    fault took away was back."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.struck: datetime | None = None
        self.recovered: datetime | None = None
        self.notes: list[str] = []
        self.mails: list[str] = []  # keys of messages that the row causes itself, each to be sent once
        self.tasks: list[str] = []  # that send them, besides the sales report
        self.webhooks: list[str] = []  # ids of events that the receiver is to get

    def strike(self) -> None:
        """Note the time of the fault."""
        self.struck = datetime.now(UTC)

    def recover(self) -> None:
        """Note that the server or partner is back."""
        self.recovered = datetime.now(UTC)

    def arm(self, point: str, process: str, match: str = "", action: str = "block") -> Armed:
        return self.cluster.points.arm(point, process, match, action)

    def hit(self, point: str, process: str, match: str = "") -> Hit:
        """Wait until this process stops at this point."""
        return self.arm(point, process, match).wait(TIMEOUT)

    def ids(self, hit: Hit) -> set[str]:
        """The jobs in the stopped process's call."""
        return set(IDS.findall(hit.call))

    def taken_over(self, hit: Hit) -> Callable[[], bool]:
        """A condition: other processes have done the stopped process's work."""
        if (ids := self.ids(hit)) and self.cluster.ledgered:
            return lambda: not Job.objects.filter(id__in=ids, state__in=LIVE).exists()
        began = Order.objects.filter(status=Status.PLACED, created_at__lte=self.struck)
        return lambda: not began.exists()

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until the condition holds. False after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    @contextmanager
    def frozen(self, process: str) -> Iterator[None]:
        """Freeze this process, if it runs, during the block."""
        runs = process in self.cluster.names and self.cluster.runs(process)
        pids = self.cluster.family(process) if runs else []
        send(SIGSTOP, pids)
        try:
            yield
        finally:
            send(SIGCONT, pids)

    def pile_up(self) -> None:
        """Let messages wait in the broker: orders go on while the analytics partner is slow."""
        self.cluster.fault("analytics", latency_ms=4000)
        until(lambda: self.cluster.queued("bulk") >= 4, TIMEOUT, "waiting messages")

    def due_jobs(self) -> None:
        """Give the dispatcher a retry to publish: the analytics partner fails for a moment."""
        self.cluster.fault("analytics", status=503)
        until(lambda: Job.objects.filter(state="waiting", attempts__gt=0).exists(), TIMEOUT, "a retry")
        self.cluster.heal()

    @contextmanager
    def statements_held(self) -> Iterator[Callable[[], Hit | None]]:
        """A trigger blocks the dispatcher's statement, with its rows locked, during the block or until lock_timeout.

        Yields a function that returns a Hit while the dispatcher is in that statement.
        """
        owner = environment.of_owner(self.cluster.env)["DATABASE_URL"]
        with psycopg.connect(owner, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(4711)")
            holder.execute(HOLD)

            def held() -> Hit | None:
                if not holder.execute(HELD).fetchone():
                    return None
                return Hit(self.cluster.pid("dispatcher"), "dispatcher", "", self.cluster.var / "none")

            try:
                yield held
            finally:
                holder.execute("SELECT pg_advisory_unlock(4711)")
                holder.execute("DROP TRIGGER hold ON backroom_job")

    def slot(self) -> None:
        """Add a slot of the schedule that is due in SLOT_IN seconds: a report mailed to staff."""
        self.mails.append(slots.add(SLOT_IN))


HELD = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
HOLD = """
CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
CREATE TRIGGER hold AFTER UPDATE ON backroom_job FOR EACH ROW
    WHEN (OLD.state = 'waiting' AND NEW.state = 'ready' AND OLD.run_at IS NOT NULL) EXECUTE FUNCTION hold()
"""
