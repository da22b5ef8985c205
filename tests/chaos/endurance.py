"""A house that must endure: load, mishaps, a line a minute, and the judgement at the end."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error, connection
from django.db.models import F, Max

from backroom.ledger.models import LIVE, Attempt, Job, State
from catalog.models import Product
from lab.faults.customers import Customers
from orders import audit
from orders.gaps import MENDABLE
from orders.models import Order, Repair, Status
from stack.supervisor import GONE
from tests.chaos.cluster import ALWAYS, House
from tests.chaos.random_faults import Trouble
from tests.chaos.resources import Vitals

PAUSES = (2.0, 6.0)  # seconds between two mishaps
SAMPLE_EVERY, LINE_EVERY = 10.0, 60.0
QUIET_WITHIN = 300.0  # seconds after the last mishap
LONG_ENOUGH = 10.0  # minutes from which on growth is judged
CRASHED = ("its worker process died", "its worker fell silent")


class Endurance:
    """One soak of one house."""

    def __init__(self, house: House, dice: random.Random) -> None:
        self.house, self.dice = house, dice
        self.trouble, self.vitals = Trouble(house, dice), Vitals(house)
        self.began = time.monotonic()
        self.mishaps = 0

    def run(self, minutes: float) -> int:
        """Returns the exit status."""
        Product.objects.update(stock=1_000_000)
        self.house.start("dispatcher-2", "beat")
        products = list(Product.objects.values_list("slug", flat=True))
        with Customers(self.house.site, products, "soak@example.org", (True, True, False)) as customers:
            self.endure(minutes * 60)
            self.trouble.over()
            self.start_what_gave_up()
        quiet = self.wait_until_quiet()
        return self.judge(customers, quiet, minutes)

    def endure(self, seconds: float) -> None:
        """Something breaks every few seconds."""
        strike = sample = 0.0
        line = LINE_EVERY
        while (now := time.monotonic() - self.began) < seconds:
            if now >= strike:
                self.note(self.trouble.strike())
                strike = now + self.dice.uniform(*PAUSES)
            if now >= sample:
                self.vitals.sample()
                sample = now + SAMPLE_EVERY
            if now >= line:
                print(self.line(), flush=True)
                line += LINE_EVERY
            time.sleep(0.1)

    def start_what_gave_up(self) -> None:
        """supervisord starts again what dies, but for what died ten times in a row at its start."""
        for name in ("postgres", "valkey", *ALWAYS, "dispatcher-2", "beat"):
            if self.house.supervisor.state(name) in GONE:
                self.house.supervisor.start([name])

    def note(self, mishap: str) -> None:
        """Into the house's log folder, beside what it led to."""
        self.mishaps += 1
        with (self.house.supervisor.logs / "soak.log").open("a") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {mishap}\n")

    def line(self) -> str:
        """How it stands. A database that is away just now is waited for."""
        while True:
            try:
                report, slowest = audit.run(), slowest_rescue()
                repaired = Repair.objects.filter(act__in=MENDABLE).count()
                live, dead = (Job.objects.filter(state__in=states).count() for states in (LIVE, [State.DEAD]))
                break
            except (Error, audit.PartnersSilent):
                connection.close()
                time.sleep(1)
        allowed, twice = sort_out(report.duplicated)
        vitals = ", ".join(f"{name} {value:.0f}" for name, value in self.vitals.sample().items())
        return (
            f"{(time.monotonic() - self.began) / 60:4.1f} min  {self.mishaps} mishaps, {report.orders} orders,"
            f" {report.effects_found} effects, {len(report.lost)} lost, {len(twice)} twice, {len(allowed)} mails again,"
            f" {repaired} repaired, {live} jobs to do, {dead} dead, slowest rescue {slowest:.1f} s | {vitals}"
        )

    def wait_until_quiet(self) -> float | None:
        """Seconds until no order and no job of one had anything left to do; None if that took too long."""
        began, quiet = time.monotonic(), 0
        while quiet < 3:
            try:
                idle = not (audit.still_busy() or Order.objects.filter(status=Status.PLACED).exists())
            except Error:
                connection.close()
                idle = False
            quiet = quiet + 1 if idle else 0
            if time.monotonic() > began + QUIET_WITHIN:
                return None
            time.sleep(0.5)
        return time.monotonic() - began

    def judge(self, customers: Customers, quiet: float | None, minutes: float) -> int:
        """Say what was found; returns the exit status."""
        print(self.line())
        report = audit.run()
        allowed, twice = sort_out(report.duplicated)
        # What the reconciler had to mend was lost: it may hide nothing here.
        repairs = [f"repaired: {repair}: {repair.why}" for repair in Repair.objects.filter(act__in=MENDABLE)]
        bad = [*report.lost, *report.stray, *twice, *repairs, *answered_in_vain(customers)]
        for finding in bad:
            print(f"BROKEN: {finding}")
        for finding in allowed:
            print(f"within the written limit of mail: {finding['key']} {finding['why']}")
        for name, (then, now) in self.vitals.trends().items():
            print(f"{name}: {then:.1f} -> {now:.1f}{' connections' if name == 'connections' else ' MiB'}")
        growing = self.vitals.growing()
        flat = f"GROWING: {', '.join(growing)}" if growing else "memory and connections are flat"
        print(f"{flat}; {len(customers.answers)} answered, {len(customers.failures)} customers went without an answer")
        print("not quiet in time" if quiet is None else f"quiet after {quiet:.0f} s")
        return int(bool(bad) or quiet is None or (bool(growing) and minutes >= LONG_ENOUGH))


def slowest_rescue() -> float:
    """Of the jobs that died with their worker in the last minute: the longest from their start to being given back."""
    recent = Attempt.objects.filter(error__in=CRASHED, ended_at__gt=datetime.now(UTC) - timedelta(seconds=LINE_EVERY))
    longest = recent.aggregate(longest=Max(F("ended_at") - F("started_at")))["longest"]
    return longest.total_seconds() if longest else 0.0


def sort_out(duplicated: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the written limits allow, and what they don't. A mail may go once for each claim of its job: a worker that
    dies between the server's 250 and our commit makes the next one send it again."""
    claims = dict(Job.objects.filter(key__in=[row["key"] for row in duplicated]).values_list("key", "claims"))
    allowed = [row for row in duplicated if row["partner"] == "mail" and row["count"] <= claims.get(row["key"], 0)]
    return allowed, [row for row in duplicated if row not in allowed]


def answered_in_vain(customers: Customers) -> list[str]:
    """Whoever was given a number must have that order."""
    numbers = {answer["number"] for answer in customers.answers}
    there = set(Order.objects.filter(number__in=numbers).values_list("number", flat=True))
    return [f"order {number} was answered and is not there" for number in numbers - there]
