"""Paid orders to try follow-ups on, and an attempt at running a job as a worker does."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from celery import current_app
from celery.exceptions import Retry

from backroom import Call, Permanent, enqueue_all
from backroom.ledger.models import Job, State
from backroom.runtime import execution
from catalog.models import Category, Product
from orders.follow_ups import FOLLOW_UPS
from orders.models import Order, Status

current_app.loader.import_default_modules()  # as a worker does

PAID_AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def product(slug: str, price: str = "2.40", vat_rate: str = "5.00") -> Product:
    category, _ = Category.objects.get_or_create(slug="fruit", defaults={"name": "Fruit"})
    values = {"name": slug.title(), "price": price, "vat_rate": vat_rate, "unit": "kg", "category": category}
    return Product.objects.get_or_create(slug=slug, defaults=values)[0]


def paid_order(*slugs: str, **changes) -> Order:
    """An order of two of each product."""
    products = [product(slug) for slug in slugs or ("apples",)]
    values = {
        "status": Status.PAID,
        "paid_at": PAID_AT,
        "email": "Kawiarnia@example.com",
        "name": "Kawiarnia Łąka",
        "address": "ul. Świętojańska 12/4",
        "city": "Gdynia",
        "postcode": "81-368",
        "country": "PL",
        "total": sum(Decimal(product.price) * 2 for product in products),
        "currency": "EUR",
        "fingerprint": "0" * 64,
    }
    order = Order.objects.create(**{**values, **changes})
    for one in products:
        order.lines.create(
            product=one, name=one.name, unit=one.unit, unit_price=one.price, vat_rate=one.vat_rate, quantity=2
        )
    return order


def call_of(kind: str, number: int) -> Call:
    """The call of a follow-up of an order."""
    return next(each for each in FOLLOW_UPS if each.kind == kind).call(number)


def job_of(kind: str, number: int) -> Job:
    """The job of a follow-up, after one attempt at running it as a worker does."""
    return attempted(enqueue_all(call_of(kind, number))[0])


def attempted(id: str) -> Job:
    """A job after one attempt at running it as a worker does."""
    with suppress(Retry, Permanent):
        perform(id)
    return Job.objects.get(pk=id)


def perform(id: str) -> None:
    """One attempt at running a job. Raises the error that Celery gets."""
    execution.perform(current_app.tasks[Job.objects.get(pk=id).task], id)


def again(job: Job) -> Job:
    """The same job after one more attempt: as if its time had come, and a message of it arrived."""
    Job.objects.filter(pk=job.pk, state=State.WAITING).update(state=State.READY)
    return attempted(str(job.pk))
