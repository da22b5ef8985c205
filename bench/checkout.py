"""Measures where the cost of an order's jobs lies; prints ms per order: `python -m bench.checkout [orders]`.

One process takes the same order of three lines in three ways. All of them leave out the payment gateway.
  no jobs   the order alone
  ledger    the shop's own code: jobs in the order's transactions, published in one round trip
  delay     on_commit with one .delay() per job, Celery's defaults, no ledger
bench.web measures the same through gunicorn, with the gateway.
"""

import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

from celery import Celery
from django.db import transaction

from bench import cluster, results
from bench.pages import backend_seconds

ROUNDS = 7
COLUMNS = "ms", "python_ms", "postgres_ms"  # in all, and CPU time
FOLLOW_UPS = 5  # jobs of an order that are ready at once


def main(orders: int) -> None:
    with cluster.running() as env:
        take_order, ways = order_taker(), build(env["BROKER_URL"])
        rounds = [
            {name: cost(take_order, way, orders) for name, way in ways.items()}
            for _ in range(2 if results.quick() else ROUNDS)
        ]
    rows = []
    for name in ways:
        medians = map(statistics.median, zip(*(each[name] for each in rounds), strict=True))
        rows.append({"way": name, **dict(zip(COLUMNS, medians, strict=True))})
        print(name.ljust(10), "  ".join(f"{column} {rows[-1][column]:6.2f}" for column in COLUMNS))
    results.save("checkout", rows, orders=orders)


def cost(take_order: Callable[[], None], way: Callable[[], AbstractContextManager], orders: int) -> list[float]:
    """COLUMNS, in milliseconds per order."""
    with way():
        before = clocks()
        for _ in range(orders):
            take_order()
        after = clocks()
    return [(end - begin) / orders * 1000 for begin, end in zip(before, after, strict=True)]


def clocks() -> tuple[float, float, float]:
    return time.perf_counter(), time.process_time(), backend_seconds()


def build(broker: str) -> dict[str, Callable[[], AbstractContextManager]]:
    """The three ways of doing an order's work later."""
    task = Celery("naive", broker=broker, set_as_current=False).task(name="naive.nothing")(nothing)

    def settle_later(call: object) -> None:
        transaction.on_commit(partial(task.apply_async, (1,), countdown=60))

    def follow_up(*calls: object) -> None:
        for number in range(FOLLOW_UPS):
            transaction.on_commit(partial(task.delay, number))

    return {
        "no jobs": partial(without_ledger, nothing, nothing),
        "ledger": nullcontext,
        "delay": partial(without_ledger, settle_later, follow_up),
    }


def order_taker() -> Callable[[], None]:
    """A function that takes one paid order by the shop's own code."""
    from catalog.models import Product  # noqa: PLC0415 - needs Django to be set up
    from orders.ordering import checkout, settlement  # noqa: PLC0415

    Product.objects.update(stock=10_000_000)
    customer = checkout.Customer("a@example.org", "A", "1 Road", "Cork", "T12", "IE")
    wanted = [checkout.Wanted(slug, 1) for slug in Product.objects.values_list("slug", flat=True)[:3]]

    def take_order() -> None:
        settlement.mark_paid(checkout.reserve(customer, wanted, str(uuid.uuid4()), "").number)

    return take_order


@contextmanager
def without_ledger(settle: Callable[..., Any], follow_up: Callable[..., Any]) -> Iterator[None]:
    """Call these where the shop enqueues the settlement of a payment and the follow-ups of an order."""
    from orders.ordering import checkout, settlement  # noqa: PLC0415 - needs Django to be set up

    with (
        patch.object(checkout, "enqueue_all", settle),
        patch.object(settlement, "enqueue_all", follow_up),
        patch.object(settlement.operations, "cancel", nothing),
    ):
        yield


def nothing(*arguments: object, **options: object) -> None:
    """Do nothing."""


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
