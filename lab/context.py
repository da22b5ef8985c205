"""What an experiment has at hand while it happens: the machine, customers of its own, and a line to those who watch."""

import re
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

import celery
import urllib3
from django.utils import timezone

from backroom import enqueue_all
from backroom.ledger.models import Job
from backroom.runtime.task import LedgerTask
from catalog.models import Product
from catalog.seed import restock
from lab.faults import effects as tally
from lab.faults.customers import DEAR, TIMEOUT, basket
from lab.faults.failpoints import Armed, Hit
from lab.faults.naive import pending as quiet
from lab.faults.stack import NAIVE, Machine
from orders.models import Order
from stack.processes import QUEUES

POLL = 0.1  # seconds
NUMBER = re.compile(r"'number': (\d+)")  # of an order, in what a failpoint tells


class Stopped(Exception):
    """Somebody wants everything put right, or the lab is told to end."""


class NotSeen(Exception):
    """What should have happened did not, in time; the text says what."""


class Placed(NamedTuple):
    """An order, and the seconds after which it was answered; None where the customer never got an answer."""

    number: int
    seconds: float | None


class Scene:
    """One experiment."""

    def __init__(self, machine: Machine, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        self.machine, self.tell, self.stopped = machine, tell, stopped
        self.naive = machine.variant == NAIVE
        self.since = timezone.now()
        self.name = uuid.uuid4().hex[:8]  # for keys that no other experiment had
        self.placed: list[Placed] = []
        restock()
        self.products = list(Product.objects.filter(price__lt=DEAR, stock__gt=0).values_list("slug", flat=True))

    def pause(self) -> None:
        """A moment's wait. Raises Stopped."""
        if self.stopped():
            raise Stopped
        time.sleep(POLL)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Until the condition holds. Raises NotSeen, and Stopped."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NotSeen(f"not within {seconds:g} s: {what}")
            self.pause()

    def rest(self, seconds: float) -> None:
        """Wait so long. Raises Stopped."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "the time to pass", seconds + 5)

    def buy(self) -> Placed:
        """A customer buys something, and does not ask again."""
        key, begin = uuid.uuid4().hex, time.monotonic()
        headers, address = {"Idempotency-Key": key}, f"{self.machine.site}/api/orders"
        seconds: float | None = None
        try:
            body = basket(self.products)
            answer = urllib3.request("POST", address, json=body, headers=headers, retries=False, timeout=TIMEOUT)
            seconds = time.monotonic() - begin
            if answer.status not in (201, 202):
                raise NotSeen(f"the shop took no order: {answer.status} {answer.data[:200]!r}")
        except urllib3.exceptions.HTTPError:
            self.wait(lambda: Order.objects.filter(idempotency_key=key).exists(), "the order that was not answered")
        placed = Placed(Order.objects.get(idempotency_key=key).number, seconds)
        self.placed.append(placed)
        return placed

    def buy_all(self, count: int) -> list[Placed]:
        """So many orders, one after the other, and what they took."""
        placed = [self.buy() for _ in range(count)]
        self.tell(f"{count} customers ordered; the slowest was answered after {self.slowest_ms} ms.")
        return placed

    @property
    def slowest_ms(self) -> int:
        """How long the slowest of the customers who got an answer waited for it."""
        return round(1000 * max((one.seconds for one in self.placed if one.seconds is not None), default=0))

    def arm(self, point: str, process: str, words: str = "") -> Armed:
        """The next one of this process that passes is stopped there; see lab/faults/failpoints."""
        return self.machine.points.arm(point, self.machine.name(process), words)

    def struck(self, hit: Hit) -> int:
        """The order that a process had in hand when it was stopped. If it is not one of ours, it is now."""
        found = NUMBER.search(hit.told)
        if found is None:
            raise NotSeen(f"{hit.process} was stopped at work for no order: {hit.told[:200]}")
        number = int(found[1])
        if number not in {one.number for one in self.placed}:
            self.placed.append(Placed(number, None))
        return number

    def fault(self, partner: str, **switches: object) -> None:
        self.machine.fault(partner, **switches)

    def enqueue(self, task: LedgerTask, numbers: list[str]) -> None:
        """A call for each, as the shop that runs would make it: rows and messages, or messages alone."""
        if not self.naive:
            enqueue_all(*(task.call(number) for number in numbers))
            return
        with (
            celery.Celery("lab", broker=self.machine.broker, set_as_current=False) as app,
            app.producer_or_acquire() as producer,
            producer.batch(),
        ):
            for number in numbers:
                app.send_task(task.name, (number,), queue=task.job_queue or "default", producer=producer)

    def held(self) -> list[str]:
        """Without a ledger: the task of each call that a live worker holds, running or waiting there."""
        return [one.task for one in quiet.in_hand(self.machine.broker, len(QUEUES)).held]

    def jobs(self, kind: str) -> list[Job]:
        """The jobs of this kind of our orders."""
        return list(Job.objects.filter(key__in=[f"{kind}:{one.number}" for one in self.placed]))

    def tally(self) -> tally.Tally:
        """What became of our orders."""
        numbers = [one.number for one in self.placed]
        return tally.of(numbers, self.since, broker=self.machine.broker if self.naive else "")
