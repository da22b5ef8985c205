"""An experiment's context: the demo's stack, its own orders, and the lines that the page shows."""

import re
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

import celery
import urllib3
from django.utils import timezone

from backroom.runtime.task import LedgerTask
from catalog.models import Product
from catalog.seed import restock
from lab.demo_stack import DemoStack
from lab.faults import LEDGERED, effects
from lab.faults.customers import EXPENSIVE, TIMEOUT, basket
from lab.faults.failpoints import Armed, Hit
from lab.faults.naive import pending
from orders.models import Order
from stack.processes import QUEUES

POLL = 0.1  # seconds
NUMBER = re.compile(r"'number': (\d+)")  # an order's, in a failpoint's call


class Stopped(Exception):
    """A stop was requested, or the lab's process ends."""


class NotSeen(Exception):
    """The expected result did not occur. The text says which."""


class Placed(NamedTuple):
    """An order, and the seconds until its response; None if its customer got none."""

    number: int
    seconds: float | None


class Context:
    """One run of an experiment. `show` adds a line to the page."""

    def __init__(self, stack: DemoStack, show: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        self.stack, self.show, self.stopped = stack, show, stopped
        self.variant = stack.variant
        self.ledgered = self.variant == LEDGERED
        self.since = timezone.now()
        self.name = uuid.uuid4().hex[:8]  # makes this run's keys unique
        self.placed: list[Placed] = []
        restock()
        self.products = list(Product.objects.filter(price__lt=EXPENSIVE, stock__gt=0).values_list("slug", flat=True))

    def pause(self) -> None:
        """Wait for one poll interval. Raises Stopped."""
        if self.stopped():
            raise Stopped
        time.sleep(POLL)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Wait until the condition holds. Raises NotSeen after `seconds`, and Stopped."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NotSeen(f"not within {seconds:g} s: {what}")
            self.pause()

    def rest(self, seconds: float) -> None:
        """Wait for `seconds`. Raises Stopped."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "the pause", seconds + 5)

    def buy(self) -> Placed:
        """Place one order, without a retry."""
        key, begin = uuid.uuid4().hex, time.monotonic()
        headers, address = {"Idempotency-Key": key}, f"{self.stack.site}/api/orders"
        body, seconds = basket(self.products), None
        try:
            answer = urllib3.request("POST", address, json=body, headers=headers, retries=False, timeout=TIMEOUT)
            seconds = time.monotonic() - begin
            if answer.status not in (201, 202):
                raise NotSeen(f"the shop rejected an order: {answer.status} {answer.data[:200]!r}")
        except urllib3.exceptions.HTTPError:
            self.wait(lambda: Order.objects.filter(idempotency_key=key).exists(), "the order without a response")
        placed = Placed(Order.objects.get(idempotency_key=key).number, seconds)
        self.placed.append(placed)
        return placed

    def buy_all(self, count: int) -> None:
        for _ in range(count):
            self.buy()
        self.show(f"Placed {count} orders. The slowest response took {self.slowest_ms} ms.")

    @property
    def slowest_ms(self) -> int:
        """The duration of the slowest response to this run's orders."""
        return round(1000 * max((one.seconds for one in self.placed if one.seconds is not None), default=0))

    def arm(self, point: str, process: str, match: str = "") -> Armed:
        """Arm a failpoint in a process of the variant that runs; see lab/faults/failpoints."""
        return self.stack.points.arm(point, self.stack.name(process), match)

    def order_at(self, hit: Hit) -> int:
        """The order that the stopped process works on. It counts as this run's from now on."""
        found = NUMBER.search(hit.call)
        if found is None:
            raise NotSeen(f"{hit.process} stopped without an order: {hit.call[:200]}")
        number = int(found[1])
        if number not in {one.number for one in self.placed}:
            self.placed.append(Placed(number, None))
        return number

    def enqueue(self, task: LedgerTask, *arguments: object) -> None:
        """Enqueue a call as the running shop does: a job with the ledger, else a plain message."""
        if self.ledgered:
            task.enqueue(*arguments)
            return
        with celery.Celery("lab", broker=self.stack.broker, set_as_current=False) as app:
            app.send_task(task.name, arguments, queue=task.job_queue or "default")

    def held(self) -> list[str]:
        """Without a ledger: the task of each message that a live worker holds."""
        return [one.task for one in pending.messages(self.stack.broker, len(QUEUES)).held]

    def count(self) -> effects.Counts:
        numbers = [one.number for one in self.placed]
        return effects.count(numbers, self.since, broker="" if self.ledgered else self.stack.broker)
