"""What the jobs of an order cost its checkout: `python -m bench.checkout [orders]`.

Three ways to take the same order of three lines, in turn, in one process, without the gateway (it costs all the same):
  no jobs   the order alone
  ledger    the shop's own code: jobs in the order's transactions, published in one round trip
  delay     the way of most examples: on_commit with a .delay() for each job, Celery's defaults, no ledger
"""

import statistics
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, patch

from celery import Celery
from django.db import transaction

from bench import cluster

ROUNDS = 7


def main(orders: int) -> None:
    """Print milliseconds an order (median of ROUNDS) and the ratios."""
    with cluster.running() as env:
        variants = build(env["BROKER_URL"])
        times: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(ROUNDS + 1):
            for name, take_order in variants.items():
                begin = time.perf_counter()
                for _ in range(orders):
                    take_order()
                if number:  # the first round warms up
                    times[name].append((time.perf_counter() - begin) / orders * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:8} {value:6.2f} ms an order   {value / medians['no jobs']:.2f} x no jobs")
    print(f"a ledgered checkout takes {medians['ledger'] / medians['delay']:.2f} of the time of on_commit + .delay()")


def build(broker: str) -> dict[str, Callable[[], None]]:
    """The three ways, as functions that take one order each. Called once Django is set up."""
    from catalog.models import Product  # noqa: PLC0415 - needs Django to be set up
    from orders import checkout, settlement  # noqa: PLC0415

    Product.objects.update(stock=10_000_000)
    customer = checkout.Customer("a@example.org", "A", "1 Road", "Cork", "T12", "IE")
    wanted = [checkout.Wanted(slug, 1) for slug in Product.objects.values_list("slug", flat=True)[:3]]
    naive = Celery("naive", broker=broker, set_as_current=False)
    tasks = [naive.task(name=f"naive.{number}")(nothing) for number in range(5)]

    def take_order() -> None:
        order = checkout.reserve(customer, wanted, str(uuid.uuid4()), "")
        settlement.mark_paid(order.number)

    def without_jobs() -> None:
        with (
            patch.object(settlement, "settle_payment"),
            patch.object(settlement, "enqueue_all"),
            patch.object(settlement.operations, "call_off"),
        ):
            take_order()

    def with_delay() -> None:
        with (
            patch.object(settlement, "settle_payment", naive_settle),
            patch.object(settlement, "enqueue_all", publish_naively),
            patch.object(settlement.operations, "call_off"),
        ):
            take_order()

    def settle_naively(number: int) -> None:
        transaction.on_commit(partial(tasks[0].apply_async, (number,), countdown=60))

    using = SimpleNamespace(enqueue=settle_naively)
    naive_settle = SimpleNamespace(using=Mock(return_value=using))

    def publish_naively(*calls: object) -> None:
        for task in tasks:
            transaction.on_commit(partial(task.delay, 1))

    return {"no jobs": without_jobs, "ledger": take_order, "delay": with_delay}


def nothing(number: int) -> None:
    """The task of the naive way; it is only published here."""


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
