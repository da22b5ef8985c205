"""What a row of the matrix has at hand while it happens: a house under load, and what may be asked of it."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from signal import SIGCONT, SIGSTOP

import psycopg
import redis

from backroom.ledger.models import LIVE, Job
from lab.faults import slots
from lab.faults.failpoints import Armed, Hit
from lab.faults.stack import send
from orders.models import Order, Status
from tests.chaos.cluster import House
from tests.waiting import until

PATIENCE = 90.0  # seconds until a process comes by a point; on a machine with nothing else to do it is one or two
SLOT_IN = 8  # seconds until a slot is due: beat looks at its tables every five
IDS = re.compile(r"(?:Message|Claimed)\(id='([0-9a-f-]{36})'")


class Scene:
    """One row on one house. `struck`: when the fault came; `over`: when what it took away was back, if it took away
    something that all else needs."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.struck: datetime | None = None
        self.over: datetime | None = None
        self.notes: list[str] = []
        self.mails: list[str] = []  # keys of mails that belong to no order, each to be sent once

    def strike(self) -> None:
        """The fault comes now."""
        self.struck = datetime.now(UTC)

    def mended(self) -> None:
        """What was away is back."""
        self.over = datetime.now(UTC)

    def arm(self, point: str, process: str, words: str = "", then: str = "block") -> Armed:
        return self.house.points.arm(point, process, words, then)

    def hit(self, point: str, process: str, words: str = "") -> Hit:
        """Wait until this process stands at this point."""
        return self.arm(point, process, words).wait(PATIENCE)

    def ids(self, hit: Hit) -> set[str]:
        """The jobs that a process had in its hands."""
        return set(IDS.findall(hit.told))

    def given_away(self, hit: Hit) -> Callable[[], bool]:
        """A condition: others have done what this process was at."""
        if (ids := self.ids(hit)) and not self.house.naive:
            return lambda: not Job.objects.filter(id__in=ids, state__in=LIVE).exists()
        began = Order.objects.filter(status=Status.PLACED, created_at__lte=self.struck)
        return lambda: not began.exists()

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until the condition holds; False if it didn't in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    @contextmanager
    def kept_away(self, process: str) -> Iterator[None]:
        """Frozen, if it runs at all, during the block."""
        runs = self.house.supervisor.state(process) == "RUNNING" if process in self.house.names else False
        pids = self.house.family(process) if runs else []
        send(SIGSTOP, pids)
        try:
            yield
        finally:
            send(SIGCONT, pids)

    @property
    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.house.env["BROKER_URL"], socket_timeout=5)

    def pile_up(self) -> None:
        """Let messages wait in the broker: the analytics partner is slow, and orders go on."""
        self.house.fault("analytics", latency_ms=4000)
        until(lambda: self.broker.llen("bulk") >= 4, PATIENCE, "a pile of messages")

    def due_jobs(self) -> None:
        """Give the dispatcher something to do: the analytics partner fails for a moment, so there is a retry."""
        self.house.fault("analytics", status=503)
        until(lambda: Job.objects.filter(state="waiting", attempts__gt=0).exists(), PATIENCE, "a retry")
        self.house.heal()

    @contextmanager
    def statements_held(self) -> Iterator[Callable[[], Hit | None]]:
        """While the block lasts, the dispatcher's statement does not end: PostgreSQL holds it, with its rows locked, as
        long as lock_timeout lets it. Yields what asks whether the dispatcher is in there."""
        with psycopg.connect(self.house.env["DATABASE_URL"], autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(4711)")
            holder.execute(HOLD)

            def held() -> Hit | None:
                if not holder.execute(HELD).fetchone():
                    return None
                return Hit(self.house.pid("dispatcher"), "dispatcher", "", self.house.var / "none")

            try:
                yield held
            finally:
                holder.execute("SELECT pg_advisory_unlock(4711)")
                holder.execute("DROP TRIGGER hold ON backroom_job")

    def slot(self) -> None:
        """Have a slot of the schedule due in some seconds: a report that is mailed to staff."""
        self.mails.append(slots.add(SLOT_IN))


HELD = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
HOLD = """
CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
CREATE TRIGGER hold AFTER UPDATE ON backroom_job FOR EACH ROW
    WHEN (OLD.state = 'waiting' AND NEW.state = 'ready' AND OLD.run_at IS NOT NULL) EXECUTE FUNCTION hold()
"""
