"""Products, a buyer and the gateway's own records, for the tests of the checkout."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from threading import Barrier
from typing import Any

import urllib3
from celery import current_app
from celery.exceptions import Retry
from django.conf import settings
from django.db import connection

from backroom import Permanent
from backroom.ledger.models import LIVE, Job, State
from backroom.runtime import execution
from catalog.models import Category, Product
from orders.models import Order
from orders.ordering.checkout import Customer, Wanted, place

current_app.loader.import_default_modules()  # as a worker does

CUSTOMER = Customer("kawiarnia@example.com", "Kawiarnia Łąka", "ul. Długa 1", "Gdynia", "81-368", "PL")
FORM = asdict(CUSTOMER) | {"card": "demo-approve"}  # as the checkout form and the API take it


def product(slug: str = "apples", stock: int = 10, price: str = "2.40") -> Product:
    category, _ = Category.objects.get_or_create(slug="fruit", defaults={"name": "Fruit"})
    return Product.objects.create(
        slug=slug, name=slug.title(), price=price, stock=stock, unit="kg", category=category, vat_rate="5.00"
    )


def buy(slug: str = "apples", quantity: int = 1, card: str = "demo-approve", key: str | None = None) -> Order:
    return place(CUSTOMER, [Wanted(slug, quantity)], card, key)


def stock_of(slug: str = "apples") -> int:
    return Product.objects.get(slug=slug).stock


def live_keys(number: int) -> set[str]:
    """The keys of an order's jobs that are still to be run."""
    return set(Job.objects.filter(state__in=LIVE, args__number=number).values_list("key", flat=True))


def attempt(key: str) -> Job:
    """One attempt at running the job of this key, as if its time had come and a worker got its message."""
    job = Job.objects.get(key=key)
    Job.objects.filter(pk=job.pk, state=State.WAITING).update(state=State.READY)
    with suppress(Retry, Permanent):
        execution.perform(current_app.tasks[job.task], str(job.pk))
    job.refresh_from_db()
    return job


def effects(**wanted: str) -> dict[str, int]:
    """What really happened at the partners: "payments/authorization payment:1001" → how often."""
    answer = urllib3.request("GET", f"{settings.BACKROOM_PARTNERS_URL}/effects", fields=wanted).json()
    return {f"{row['partner']}/{row['kind']} {row['key']}": row["count"] for row in answer["effects"]}


def traffic(partner: str) -> dict[str, int]:
    """What reached a partner: requests and connections."""
    return urllib3.request("GET", f"{settings.BACKROOM_PARTNERS_URL}/traffic").json()[partner]


def fault(partner: str, **faults: Any) -> None:
    """Have a partner do something wrong from now on; without faults: be well again."""
    answer = urllib3.request("PUT", f"{settings.BACKROOM_PARTNERS_URL}/faults/{partner}", body=json.dumps(faults))
    assert answer.status == 200, answer.data


def all_at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in as many threads, each with a database connection of its own, all started together; returns
    what each gave or raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(30)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
