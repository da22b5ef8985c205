"""One row: load, the fault, quiet, the audit, and what came of it."""

import dataclasses
import json
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import datetime

import celery
import redis
import urllib3
from django.db import DatabaseError, connection

from backroom.ledger.models import Job
from catalog.models import Product
from lab.faults import effects as tally
from lab.faults.customers import Customers
from lab.faults.naive.pending import in_hand
from orders import audit
from orders.models import Order, Status
from tests.chaos.cluster import ALWAYS, House
from tests.chaos.context import Scene
from tests.chaos.rows import Row

BEFORE, AFTER = 2.0, 3.0  # seconds of load before a row begins and after its fault
PAUSE = 3.0  # seconds between two orders of one customer: ten houses share the machine
UNQUIET = 60.0  # seconds more than promised that a row is waited for
EVERY, EVERY_NAIVE = 0.3, 1.0  # seconds between two looks; the workers of a naive house have to answer


@dataclasses.dataclass
class Result:
    """What came of a row. `seconds` is None where nothing is promised (no ledger) or it never became quiet, and 0
    where nothing was under way when the fault came."""

    part: str
    boundary: str
    fault: str
    naive: bool
    within: float
    allowed: int  # effects that may happen twice, by the written limits
    orders: int = 0
    expected: int = 0
    found: int = 0
    lost: int = 0
    twice: int = 0
    stray: int = 0
    seconds: float | None = None
    unanswered: int = 0
    took: float = 0.0
    failed: bool = False  # the fault could not be brought about
    quiet: bool = False  # whether nothing happened any more in the end
    notes: list[str] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Which promises it broke, in words."""
        late = self.seconds is None or self.seconds > self.within
        return [
            *([f"{self.lost} lost"] if self.lost else []),
            *([f"{self.twice} twice"] if self.twice > self.allowed else []),
            *([f"{self.stray} stray"] if self.stray else []),
            # What is still under way the audit does not call lost.
            *([] if self.quiet else ["never quiet"]),
            *([f"{self.expected - self.found} missing"] if self.found < self.expected else []),
            *(["finished too late" if self.seconds else "not finished"] if late else []),
            *(["the row itself failed"] if self.failed else []),
        ]


class Runner:
    """Runs rows on one house, one after the other. The audit is of the whole house, so a row is charged with what was
    not found before it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.known: dict[str, Counter] = {"lost": Counter(), "duplicated": Counter(), "stray": Counter()}
        self.counts = (0, 0, 0)
        # Nothing so dear that the fraud review holds the order for a person, who never comes.
        self.products = list(Product.objects.filter(price__lt=100).values_list("slug", flat=True))
        Product.objects.update(stock=1_000_000)

    def run(self, row: Row) -> Result:
        """Run one row. Never raises: what went wrong is in the notes."""
        began, scene = time.monotonic(), Scene(self.house)
        result = Result(row.part, row.boundary, row.fault, self.house.naive, row.within, row.twice)
        try:
            self.prepare(row)
            last = newest()
            name = f"row{time.time_ns()}@example.org"
            customers = Customers(self.house.site, self.products, name, row.patience, PAUSE)
            with customers:
                time.sleep(BEFORE)
                row.act(scene)
                time.sleep(AFTER)
            self.wait_until_quiet(scene, row, result)
            self.judge(scene, customers, last, result)
        except Exception as error:
            result.failed = True
            result.notes.append(f"the row itself failed: {type(error).__name__}: {error}")
            result.findings.append(traceback.format_exc()[-1500:])
            with suppress(urllib3.exceptions.HTTPError):
                self.house.heal()
        result.notes += scene.notes
        result.took = time.monotonic() - began
        return result

    def prepare(self, row: Row) -> None:
        """No fault anywhere, no point armed, all processes ready that the row needs, and no others."""
        self.house.heal()
        for file in self.house.points.folder.iterdir():
            file.unlink(missing_ok=True)
        self.house.stop(*(name for name in self.house.names if "-2" in name or name == "beat" if name not in row.needs))
        self.house.start("postgres", "valkey", "partners", *ALWAYS, *row.needs)

    def wait_until_quiet(self, scene: Scene, row: Row, result: Result) -> None:
        """Until nothing happens any more, or it has taken much longer than promised."""
        patience = row.within + UNQUIET
        deadline, quiet = time.monotonic() + patience, 0
        while quiet < 2:
            quiet = quiet + 1 if self.is_quiet(scene) else 0
            if time.monotonic() > deadline:
                result.notes.append(f"not quiet {patience:g} s after the fault")
                return
            time.sleep(EVERY_NAIVE if self.house.naive else EVERY)
        result.quiet = True

    def is_quiet(self, scene: Scene) -> bool:
        try:
            placed = set(Order.objects.filter(status=Status.PLACED).values_list("number", flat=True))
            return self.nothing_in_hand(placed) if self.house.naive else not (placed or busy(scene))
        except DatabaseError:
            connection.close()
            return False

    def nothing_in_hand(self, placed: set[int]) -> bool:
        """Without a ledger: whether no message waits and no live worker has one, but for the nets of orders that are
        paid. What only comes back after an hour, or never, is not waited for."""
        names = [name for name in self.house.names if name.startswith("worker-")]
        running = sum(self.house.supervisor.state(name) == "RUNNING" for name in names)
        try:
            found = in_hand(self.house.env["BROKER_URL"], running or None)
        except (redis.RedisError, OSError, celery.exceptions.CeleryError):
            return False
        nets = [held.arguments["number"] for held in found.held if held.task == "orders.settle_payment"]
        return not found.queued and len(nets) == len(found.held) and not placed.intersection(nets)

    def judge(self, scene: Scene, customers: Customers, last: int, result: Result) -> None:
        """What the audit finds that it had not found before, and how long it took until all was finished."""
        report = self.report()
        for name, field in (("lost", "lost"), ("duplicated", "twice"), ("stray", "stray")):
            found = Counter(json.dumps(finding, sort_keys=True) for finding in getattr(report, name))
            new = found - self.known[name]
            self.known[name] = found
            setattr(result, field, new.total())
            result.findings += [f"{name}: {finding}" for finding in new]
        now, then = (report.orders, report.effects_expected, report.effects_found), self.counts
        result.orders, result.expected, result.found = (a - b for a, b in zip(now, then, strict=True))
        self.counts = now
        self.judge_mails(scene, result)
        self.judge_answers(customers, result)
        if not self.house.naive and scene.struck and result.quiet:
            result.seconds, slowest = seconds_to_recover(scene, last)
            result.findings.append(f"the last one: {slowest}")

    def report(self) -> audit.Report:
        """Of the whole house. Without a ledger the audit can't know what is still to come: the broker and the workers
        are asked."""
        ours, theirs, known = audit.look()
        if self.house.naive:
            tally.mark_busy(ours, self.house.env["BROKER_URL"])
        return audit.judge(ours, theirs, known)

    def judge_mails(self, scene: Scene, result: Result) -> None:
        """Mails that belong to no order, each to be sent once."""
        for key in scene.mails:
            count = self.house.effects(key)
            result.expected += 1
            result.found += count > 0
            result.lost += count == 0
            result.twice += count > 1
            if count != 1:
                result.findings.append(f"{key}: sent {count} times")

    def judge_answers(self, customers: Customers, result: Result) -> None:
        """Whoever was given a number has that order."""
        numbers = {answer["number"] for answer in customers.answers}
        missing = numbers - set(Order.objects.filter(number__in=numbers).values_list("number", flat=True))
        result.lost += len(missing)
        result.findings += [f"order {number} was answered and is not there" for number in missing]
        result.unanswered = len(customers.failures)
        if customers.failures:
            result.findings.append(f"unanswered: {Counter(customers.failures)}")


def newest() -> int:
    return Order.objects.order_by("number").values_list("number", flat=True).last() or 0


def busy(scene: Scene) -> bool:
    """Whether a job of an order, or of the row's own, is alive."""
    own = Job.objects.filter(task="orders.mail_sales_report", state__in=("ready", "waiting", "running"))
    unsent = any(scene.house.effects(key) == 0 for key in scene.mails)
    return bool(audit.still_busy()) or own.exists() or unsent


def seconds_to_recover(scene: Scene, last: int) -> tuple[float, str]:
    """From the fault (or, where something was away that all else needs, from when it was back) until the last job of
    those orders was finished that were placed after number `last` and before that moment; and which job that was."""
    since: datetime = scene.over or scene.struck  # type: ignore[assignment]
    with connection.cursor() as cursor:
        cursor.execute(SLOWEST, [last, since, scene.struck])
        found = cursor.fetchone()
    if found is None:
        return 0.0, "nothing was under way"
    finished, *about = found
    return max(0.0, (finished - since).total_seconds()), " ".join(map(str, about))


SLOWEST = """
SELECT job.finished_at, task, key, state, 'claims', claims, 'attempts', attempts, error
FROM backroom_job job LEFT JOIN orders_order ON split_part(key, ':', 2) = number::text
WHERE finished_at IS NOT NULL AND ((number > %s AND orders_order.created_at <= %s)
      OR (task = 'orders.mail_sales_report' AND job.created_at > %s))
ORDER BY finished_at DESC LIMIT 1
"""
