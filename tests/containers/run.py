"""Runs a row: load, the fault, the wait until no job is left, and the audit."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3

from lab.faults.customers import Customers, cheap
from tests.containers.engine import RUNNING, SITE, compose, containers, healthy, sql
from tests.containers.events import Events
from tests.containers.rows import Row
from tests.waiting import until

BEFORE, AFTER = 2.0, 4.0  # seconds of load before and after the fault
PAUSE = 1.0  # seconds between two orders of one customer
RETRIES = (True, True, False)  # of each customer: whether it repeats a failed request
PATIENCE = 150  # seconds until a container is healthy, and until the jobs are done
KILLED = 137  # the exit status after SIGKILL
SLOWEST = """SELECT coalesce(extract(epoch FROM max(finished_at)), 0) FROM backroom_job
JOIN orders_order ON split_part(key, ':', 2) = number::text WHERE orders_order.created_at <= to_timestamp({})"""


@dataclass
class Result:
    """`twice` counts effects but mails, which the written limits allow twice: `mails`. `seconds`: from the end of the
    fault until the last job of the earlier orders was done."""

    name: str
    fault: str
    service: str
    orders: int = 0
    expected: int = 0
    found: int = 0
    lost: int = 0
    twice: int = 0
    mails: int = 0
    unexpected: int = 0
    unfinished: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return bool(self.lost or self.twice or self.unexpected or self.unfinished or self.findings)

    def __str__(self) -> str:
        counts = f"{self.orders} orders, {self.found}/{self.expected} effects, {self.lost} lost, {self.twice} twice"
        more = f"{self.mails} mails twice, {self.unfinished} unfinished, {self.unanswered} requests unanswered"
        return "\n    ".join([f"{self.name}: {counts}, {more}, settled in {self.seconds:.1f} s", *self.findings])


def all_healthy() -> bool:
    return all(healthy(name) for service in RUNNING for name in containers(service))


class Runner:
    """Runs rows on one shop. The audit covers the whole shop: a row counts what no earlier audit found."""

    def __init__(self, events: Events) -> None:
        self.events = events
        sql("UPDATE catalog_product SET stock = 1000000")
        items = urllib3.request("GET", f"{SITE}/api/products", timeout=10).json()["items"]
        self.products = cheap(items)
        self.known: list[Any] = []
        self.counts = (0, 0, 0)

    def load(self, orders: int) -> Result:
        """Nothing is broken until this number of orders is placed."""
        result = Result("no fault", "none", "")
        with self.customers() as customers:
            until(lambda: len(customers.answers) >= orders, PATIENCE, f"{orders} orders")
            back = time.time()
        return self.judge(result, customers, back)

    def run(self, row: Row, ready: Callable[[], object] = all_healthy) -> Result:
        result = Result(row.name, row.fault, row.service)
        with self.customers() as customers:
            time.sleep(BEFORE)
            begun = time.time()
            end = row.cause(row)
            time.sleep(row.seconds)
            end()
            back = time.time()
            time.sleep(AFTER)
        until(ready, PATIENCE, "all are well again")
        if row.fault == "deployed":
            stopped = [name for name, status in self.events.exits(begun).items() if status == KILLED]
            result.findings += [f"{name} did not end within its grace" for name in stopped]
        return self.judge(result, customers, back)

    def customers(self) -> Customers:
        return Customers(SITE, self.products, f"row{time.time_ns()}@example.org", RETRIES, PAUSE)

    def judge(self, result: Result, customers: Customers, back: float) -> Result:
        """Audit, and fill in what no earlier audit found."""
        report = json.loads(manage("audit", "--json", "--wait", str(PATIENCE)))
        for name in ("lost", "duplicated", "stray"):
            for row in [row for row in report[name] if (name, row) not in self.known]:
                self.known.append((name, row))
                self.count(result, name, row)
        now = (report["orders"], report["effects_expected"], report["effects_found"])
        result.orders, result.expected, result.found = (a - b for a, b in zip(now, self.counts, strict=True))
        self.counts, result.unfinished = now, report["unfinished"]
        numbers = {str(answer["number"]) for answer in customers.answers}
        missing = numbers - set(sql("SELECT number FROM orders_order").split())
        result.findings += [f"order {number} was confirmed and does not exist" for number in sorted(missing)]
        result.unanswered = len(customers.failures)
        result.seconds = max(0.0, float(sql(SLOWEST.format(back))) - back)
        return result

    def count(self, result: Result, name: str, row: dict[str, Any]) -> None:
        which = {"lost": "lost", "stray": "unexpected"}.get(name) or ("mails" if row["partner"] == "mail" else "twice")
        setattr(result, which, getattr(result, which) + 1)
        if which != "mails":
            result.findings.append(f"{name}: {row['partner']} {row['key']}: {row['why']}")


def manage(*words: str) -> str:
    """Run manage.py in the web's container. With findings or unfinished jobs, its output says which."""
    return compose("exec", "--no-TTY", "web", "python", "manage.py", *words, fine=(0, 1, 3))
