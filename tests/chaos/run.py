"""Runs one row: load, the fault, the wait until no work is left, and the audit."""

import json
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import datetime

import urllib3
from django.db import DatabaseError, connection
from django.utils import timezone

from backroom.ledger.models import LIVE, Job
from catalog.models import Product
from lab.faults import effects
from lab.faults.customers import EXPENSIVE, Customers
from lab.faults.naive import pending
from orders.models import Order, Status
from orders.reconciliation import audit
from tests.chaos.cluster import ALWAYS, Cluster
from tests.chaos.context import Context
from tests.chaos.result import Result
from tests.chaos.rows import Row

BEFORE, AFTER = 2.0, 3.0  # seconds of load before and after the fault
PAUSE = 3.0  # seconds between two orders of one customer: ten clusters share the machine
LONGER = 60.0  # seconds more than promised until a row gives up
POLL, POLL_NAIVE = 0.3, 1.0  # seconds; the workers of a naive cluster have to answer


class Runner:
    """Runs rows on one cluster, one after the other. The audit covers the whole cluster, so a row counts only what the
    audit did not find before it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.known: dict[str, Counter] = {"lost": Counter(), "duplicated": Counter(), "unexpected": Counter()}
        self.counts = (0, 0, 0)
        self.products = list(Product.objects.filter(price__lt=EXPENSIVE).values_list("slug", flat=True))
        Product.objects.update(stock=1_000_000)

    def run(self, row: Row) -> Result:
        """Run one row. Never raises: an error is in the result's notes."""
        began, context = time.monotonic(), Context(self.cluster)
        result = Result(row.part, row.boundary, row.fault, self.cluster.shop, row.within, row.twice)
        try:
            self.prepare(row)
            begun = timezone.now()
            email = f"row{time.time_ns()}@example.org"
            with Customers(self.cluster.site, self.products, email, row.retries, PAUSE) as customers:
                time.sleep(BEFORE)
                row.inject(context)
                time.sleep(AFTER)
            self.wait_until_idle(context, row, result)
            self.check(context, customers, begun, result)
        except Exception as error:
            result.failed = True
            result.notes.append(f"the row itself failed: {type(error).__name__}: {error}")
            result.findings.append(traceback.format_exc()[-1500:])
            with suppress(urllib3.exceptions.HTTPError):
                self.cluster.heal()
        result.notes += context.notes
        result.took = time.monotonic() - began
        return result

    def prepare(self, row: Row) -> None:
        """End all faults, and run exactly the processes that the row needs."""
        self.cluster.heal()
        self.cluster.points.clear()
        spare = [name for name in self.cluster.names if "-2" in name or name == "beat"]
        self.cluster.stop(*(name for name in spare if name not in row.needs))
        self.cluster.start_servers()
        self.cluster.start("partners", *ALWAYS, *row.needs)

    def wait_until_idle(self, context: Context, row: Row, result: Result) -> None:
        """Wait until no work is left, or a minute longer than promised."""
        longest = row.within + LONGER
        deadline, idle = time.monotonic() + longest, 0
        while idle < 2:
            idle = idle + 1 if self.is_idle(context) else 0
            if time.monotonic() > deadline:
                result.notes.append(f"not idle {longest:g} s after the fault")
                return
            time.sleep(POLL if self.cluster.ledgered else POLL_NAIVE)
        result.idle = True

    def is_idle(self, context: Context) -> bool:
        try:
            placed = set(Order.objects.filter(status=Status.PLACED).values_list("number", flat=True))
            return not (placed or busy(context)) if self.cluster.ledgered else self.no_messages(placed)
        except DatabaseError:
            connection.close()
            return False

    def no_messages(self, placed: set[int]) -> bool:
        """Without a ledger: whether the broker and the live workers have no message, except safety nets of paid orders.

        A dead worker's messages come back half an hour later or more, so they are not waited for."""
        names = [name for name in self.cluster.names if name.startswith("worker-")]
        running = sum(self.cluster.control.state(name) == "RUNNING" for name in names)
        try:
            found = pending.messages(self.cluster.broker, running or None)
        except pending.UNREADABLE:
            return False
        nets = [held.arguments["number"] for held in found.held if held.task == effects.SAFETY_NET]
        return not found.queued and len(nets) == len(found.held) and not placed.intersection(nets)

    def check(self, context: Context, customers: Customers, begun: datetime, result: Result) -> None:
        """Fill in what the audit finds for the first time, and the seconds until the last job was done."""
        report = self.report()
        for name, field in (("lost", "lost"), ("duplicated", "twice"), ("unexpected", "stray")):
            found = Counter(json.dumps(finding, sort_keys=True) for finding in getattr(report, name))
            new = found - self.known[name]
            self.known[name] = found
            setattr(result, field, new.total())
            result.findings += [f"{name}: {finding}" for finding in new]
        now, then = (report.orders, report.effects_expected, report.effects_found), self.counts
        result.orders, result.expected, result.found = (a - b for a, b in zip(now, then, strict=True))
        self.counts = now
        self.check_mails(context, result)
        check_answers(customers, result)
        if self.cluster.ledgered and context.struck and result.idle:
            result.seconds, slowest = seconds_to_recover(context, begun)
            result.findings.append(f"the last job: {slowest}")

    def report(self) -> audit.Report:
        """The audit of the whole cluster. Without a ledger, messages decide which orders are unfinished."""
        ours, theirs, known = audit.look()
        if not self.cluster.ledgered:
            effects.mark_unfinished(ours, self.cluster.broker)
        return audit.judge(ours, theirs, known)

    def check_mails(self, context: Context, result: Result) -> None:
        """The row's own messages, each to be sent. The audit has counted those that were sent twice."""
        sent = [key for key in context.mails if self.cluster.effects(key)]
        result.expected += len(context.mails)
        result.found += len(sent)
        result.lost += len(context.mails) - len(sent)
        result.findings += [f"{key}: never sent" for key in context.mails if key not in sent]
        if context.webhooks:
            self.check_webhooks(context, result)

    def check_webhooks(self, context: Context, result: Result) -> None:
        """Each arrives, perhaps twice: under one id, by which its receiver knows it."""
        answer = urllib3.request("GET", f"{self.cluster.partners}/receivers/chaos", timeout=10).json()
        came = {delivery["event"] for delivery in answer["deliveries"]}
        lost = [id for id in context.webhooks if id not in came]
        result.expected += len(context.webhooks)
        result.found += len(context.webhooks) - len(lost)
        result.lost += len(lost)
        result.findings += [f"webhook {id}: never sent" for id in lost]


def check_answers(customers: Customers, result: Result) -> None:
    """Each order number in a response exists."""
    missing = missing_orders(customers)
    result.lost += len(missing)
    result.findings += missing
    result.unanswered = len(customers.failures)
    if customers.failures:
        result.findings.append(f"unanswered: {Counter(customers.failures)}")


def missing_orders(customers: Customers) -> list[str]:
    """A finding for each order whose number a customer got and that does not exist."""
    numbers = {answer["number"] for answer in customers.answers}
    found = set(Order.objects.filter(number__in=numbers).values_list("number", flat=True))
    return [f"order {number} was confirmed and does not exist" for number in numbers - found]


def busy(context: Context) -> bool:
    """Whether a job of an order, or of the row itself, is not finished."""
    own = Job.objects.filter(task__in=["orders.mail_sales_report", *context.tasks], state__in=LIVE)
    unsent = any(context.cluster.effects(key) == 0 for key in context.mails)
    return bool(audit.still_busy()) or own.exists() or unsent


def seconds_to_recover(context: Context, begun: datetime) -> tuple[float, str]:
    """Seconds until the last job of the row's earlier orders was done, and which job that was.

    They count from the fault, or from when the server or partner was back, for orders placed between `begun` and then.
    """
    since = context.recovered or context.struck
    assert since
    with connection.cursor() as cursor:
        cursor.execute(SLOWEST, [begun, since, context.struck, context.tasks, begun])
        found = cursor.fetchone()
    if found is None:
        return 0.0, "none was left"
    finished, *about = found
    return max(0.0, (finished - since).total_seconds()), " ".join(map(str, about))


SLOWEST = """
SELECT job.finished_at, task, key, state, 'claims', claims, 'attempts', attempts, error
FROM backroom_job job LEFT JOIN orders_order ON split_part(key, ':', 2) = number::text
WHERE finished_at IS NOT NULL AND (orders_order.created_at BETWEEN %s AND %s
      OR (task = 'orders.mail_sales_report' AND job.created_at > %s) OR (task = ANY(%s) AND job.created_at > %s))
ORDER BY finished_at DESC LIMIT 1
"""
