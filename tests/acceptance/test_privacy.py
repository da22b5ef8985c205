"""An erased person is nowhere any more: in no table, session, log, message or record of a partner."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from backroom.ledger.models import LIVE, Job
from orders.models import Order
from tests.acceptance.conftest import in_state
from tests.cluster import CUSTOMER, Cluster
from tests.integration.carts import hidden_in, put_in_cart
from tests.messages import redis_client
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

PERSON = {
    "email": "zofia.nowhere@example.org",
    "name": "Zofia Nowhere",
    "address": "77 Vanishing Lane",
    "city": "Gonetown",
    "postcode": "ZZ9 9ZZ",
}

DELIVERY = ("name", "address", "city", "postcode")
PASSWORD = "seven green apples"


def kept(house: Cluster) -> Iterator[tuple[str, str]]:
    """Everything that the shop and its partners keep, as text, by its place. Not the PDF of an invoice: it stays."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT string_agg(kept::text, ' ') FROM {table} kept")  # noqa: S608 - our own
            yield f"table {table}", cursor.fetchone()[0] or ""
    yield "sessions", str([session.get_decoded() for session in Session.objects.all()])
    yield from ((f"log {file.name}", file.read_text()) for file in house.logs.glob("*.log"))
    with redis_client() as server:
        yield "broker", str([(key, _value(server, key)) for key in server.scan_iter()])
    with closing(sqlite3.connect(Path(os.environ["BACKROOM_VAR"]) / "partners.sqlite")) as partners:
        yield "partners", "".join(partners.iterdump())


def _value(server: redis.Redis, key: bytes) -> object:
    read = {b"list": lambda: server.lrange(key, 0, -1), b"hash": lambda: server.hgetall(key)}
    read |= {b"set": lambda: server.smembers(key), b"zset": lambda: server.zrange(key, 0, -1)}
    return read.get(server.type(key), lambda: server.get(key))()


def places(house: Cluster) -> set[str]:
    words = [word.lower() for word in PERSON.values()]
    return {place for place, text in kept(house) if any(word in text.lower() for word in words)}


def bought_in_the_browser(slug: str) -> int:
    client = Client()
    put_in_cart(client, slug=slug)
    form = {**CUSTOMER, **PERSON, **hidden_in(client.get("/checkout/"))}
    assert client.post("/checkout/", form).status_code == 302
    return Order.objects.first().number


def with_an_account() -> User:
    """The person has signed in, saved an address, and got an export."""
    user = User.objects.create_user("random", PERSON["email"], PASSWORD)
    EmailAddress.objects.create(user=user, email=PERSON["email"], verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": PERSON["email"], "password": PASSWORD})
    client.post("/accounts/address/", {**{name: PERSON[name] for name in DELIVERY}, "country": "IE"})
    client.post("/accounts/data/")
    until(in_state(f"export-link:{user.exports.get().pk}", "succeeded"))
    return user


def test_a_person_is_nowhere_once_erased(house: Cluster):
    numbers = [house.order(**PERSON).json()["number"], bought_in_the_browser(house.product)]
    assert Client().post("/orders/find/", {"number": numbers[0], "email": PERSON["email"]}).status_code == 302
    until(lambda: Job.objects.filter(key__startswith=f"link:{numbers[0]}-", state="succeeded").exists())
    until(lambda: not Job.objects.filter(args__number__in=numbers, state__in=LIVE).exists())
    user = with_an_account()
    tables = {"auth_user", "account_emailaddress", "accounts_customer", "orders_order", "orders_loyaltyaccount"}
    assert places(house) >= {f"table {table}" for table in tables} | {"partners"}
    Order.objects.update(shipped_at=Now())  # the warehouse needs the address until then
    call_command("customer", "erase", PERSON["email"])
    for key in (*(f"erase:{number}" for number in numbers), f"account:{user.pk}"):
        until(in_state(key, "succeeded"))
    assert places(house) == set()
