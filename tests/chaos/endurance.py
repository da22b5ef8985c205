"""The soak: load, random faults, a line a minute, and the verdict at the end."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error, connection
from django.db.models import F, Max

from backroom.ledger.models import LIVE, Attempt, Job, State
from catalog.models import Product
from lab.faults.customers import Customers
from orders.models import Order, Repair, Status
from orders.reconciliation import audit
from orders.reconciliation.discrepancies import REPAIRABLE
from tests.chaos.cluster import Cluster
from tests.chaos.random_faults import BACK_ROOM, RandomFaults
from tests.chaos.resources import Resources
from tests.chaos.run import missing_orders

PAUSES = (2.0, 6.0)  # seconds between two faults
SAMPLE_EVERY, LINE_EVERY = 10.0, 60.0  # seconds
IDLE_WITHIN = 300.0  # seconds after the last fault
LONG_ENOUGH = 10.0  # minutes from which growth counts
CRASHED = ("its worker process died", "its worker died or fell silent")


class Endurance:
    """One soak of one cluster."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self.cluster, self.dice = cluster, dice
        self.faults, self.resources = RandomFaults(cluster, dice), Resources(cluster)
        self.began = time.monotonic()
        self.count = 0

    def run(self, minutes: float) -> int:
        """Returns the exit status."""
        Product.objects.update(stock=1_000_000)
        self.cluster.start(*BACK_ROOM)
        products = list(Product.objects.values_list("slug", flat=True))
        with Customers(self.cluster.site, products, "soak@example.org", (True, True, False)) as customers:
            self.endure(minutes * 60)
            self.faults.wait()
            # supervisord gives up on a process that died ten times in a row at its start.
            self.cluster.start("postgres", "valkey", "web", *BACK_ROOM)
        idle = self.wait_until_idle()
        return self.verdict(customers, idle, minutes)

    def endure(self, seconds: float) -> None:
        """A fault every few seconds."""
        fault = sample = 0.0
        line = LINE_EVERY
        while (now := time.monotonic() - self.began) < seconds:
            if now >= fault:
                self.note(self.faults.inject())
                fault = now + self.dice.uniform(*PAUSES)
            if now >= sample:
                self.resources.sample()
                sample = now + SAMPLE_EVERY
            if now >= line:
                print(self.line(), flush=True)
                line += LINE_EVERY
            time.sleep(0.1)

    def note(self, fault: str) -> None:
        """Log a fault beside the processes' logs."""
        self.count += 1
        with self.cluster.log("soak").open("a") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {fault}\n")

    def line(self) -> str:
        """The totals so far. Waits for a database that is down."""
        while True:
            try:
                report, slowest = audit.run(), slowest_rescue()
                repaired = Repair.objects.filter(act__in=REPAIRABLE).count()
                live, dead = (Job.objects.filter(state__in=states).count() for states in (LIVE, [State.DEAD]))
                break
            except (Error, audit.PartnersSilent):
                connection.close()
                time.sleep(1)
        allowed, twice = by_limits(report.duplicated)
        resources = ", ".join(f"{name} {value:.0f}" for name, value in self.resources.sample().items())
        return (
            f"{(time.monotonic() - self.began) / 60:4.1f} min  {self.count} faults, {report.orders} orders,"
            f" {report.effects_found} effects, {len(report.lost)} lost, {len(twice)} twice, {len(allowed)} mails again,"
            f" {repaired} repaired, {live} jobs to do, {dead} dead, slowest rescue {slowest:.1f} s | {resources}"
        )

    def wait_until_idle(self) -> float | None:
        """Seconds until no order has work left; None after IDLE_WITHIN."""
        began, times = time.monotonic(), 0
        while times < 3:
            try:
                idle = not (audit.still_busy() or Order.objects.filter(status=Status.PLACED).exists())
            except Error:
                connection.close()
                idle = False
            times = times + 1 if idle else 0
            if time.monotonic() > began + IDLE_WITHIN:
                return None
            time.sleep(0.5)
        return time.monotonic() - began

    def verdict(self, customers: Customers, idle: float | None, minutes: float) -> int:
        """Print the findings. Returns the exit status."""
        print(self.line())
        report = audit.run()
        allowed, twice = by_limits(report.duplicated)
        # An effect that the reconciler repaired was lost.
        repairs = [f"repaired: {repair}: {repair.why}" for repair in Repair.objects.filter(act__in=REPAIRABLE)]
        bad = [*report.lost, *report.unexpected, *twice, *repairs, *missing_orders(customers)]
        for finding in bad:
            print(f"BROKEN: {finding}")
        for finding in allowed:
            print(f"within the written limit of mail: {finding['key']} {finding['why']}")
        for name, (then, now) in self.resources.trends().items():
            print(f"{name}: {then:.1f} -> {now:.1f}{' connections' if name == 'connections' else ' MiB'}")
        growing = self.resources.growing()
        flat = f"GROWING: {', '.join(growing)}" if growing else "memory and connections are flat"
        print(f"{flat}; {len(customers.answers)} responses, {len(customers.failures)} orders without a response")
        print("not idle in time" if idle is None else f"idle after {idle:.0f} s")
        return int(bool(bad) or idle is None or (bool(growing) and minutes >= LONG_ENOUGH))


def slowest_rescue() -> float:
    """The longest time from start to rescue of the jobs whose worker died in the last minute, in seconds."""
    recent = Attempt.objects.filter(error__in=CRASHED, ended_at__gt=datetime.now(UTC) - timedelta(seconds=LINE_EVERY))
    longest = recent.aggregate(longest=Max(F("ended_at") - F("started_at")))["longest"]
    return longest.total_seconds() if longest else 0.0


def by_limits(duplicated: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Duplicates within the written limits, and the others.

    A mail may be sent once for each claim of its job: a worker may die between the server's 250 and the commit."""
    claims = dict(Job.objects.filter(key__in=[row["key"] for row in duplicated]).values_list("key", "claims"))
    allowed = [row for row in duplicated if row["partner"] == "mail" and row["count"] <= claims.get(row["key"], 0)]
    return allowed, [row for row in duplicated if row not in allowed]
