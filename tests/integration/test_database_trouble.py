"""The database in trouble, for real, under a customer: a true answer, nothing half-done, and well again by itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Event
from typing import Any

import pytest
from celery.exceptions import Ignore
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from backroom.ledger.models import Job
from backroom.runtime import execution
from catalog.models import Product
from orders.models import Order
from tests.integration import sick_database as sick
from tests.integration.buying import FORM, attempt, effects, fault, product, stock_of
from tests.integration.carts import hidden_in, in_cart, put_in_cart
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("partners")]

OUTAGES = [sick.away, sick.exhausted, sick.read_only]
Outage = Callable[[], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _new_connection(transactional_db: None) -> Iterator[None]:
    """No limits and no read-only session are left to the next test."""
    yield
    connection.close()


@pytest.fixture
def client() -> Client:
    """A customer, who gets a page also where we failed."""
    return Client(raise_request_exception=False)


def order(client: Client, key: str | None = "one", quantity: int = 2) -> Any:
    body = FORM | {"lines": [{"product": "apples", "quantity": quantity}]}
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/orders", json.dumps(body), content_type="application/json", headers=headers)


def retry_later(response: Any) -> str:
    """The text of a proper 503."""
    assert (response.status_code, response["Retry-After"]) == (503, "5"), response.content
    text = response.content.decode()
    for inside in ("Traceback", "psycopg", "SELECT", "127.0.0.1:", "django"):
        assert inside not in text.replace("django_htmx", "").replace("/static/", "").replace("django-", ""), inside
    return text


def set_here(**limits: str) -> None:
    """Limits of Django's session, shorter than the shop's, so that tests are."""
    with connection.cursor() as cursor:
        for name, value in limits.items():
            cursor.execute(f"SET {name} = '{value}'")


@contextmanager
def locked(sql: str) -> Iterator[None]:
    """Another session holds a lock for as long as the block lasts."""
    with sick.another_session() as other:
        other.execute(sql)
        yield
        other.rollback()


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_order_is_told_to_come_back_and_then_is_one_order(client, settings, outage: Outage):
    product(stock=10)
    for key, debug in [("one", False), ("two", True)]:
        settings.DEBUG = debug
        with outage():
            answers = [order(client, key), order(client, key=None)]
        for answer in answers:
            assert answer["Content-Type"] == "application/problem+json"
            retry_later(answer)
        assert "same order, charged once" in answers[0].json()["detail"]
        assert "Nothing was charged" in answers[1].json()["detail"]
        assert order(client, key).status_code == 201
    assert (Order.objects.count(), stock_of(), len(effects())) == (2, 6, 2)


@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_address_is_told_to_come_back_as_its_page_needs_the_database(client, settings, debug):
    settings.DEBUG = debug
    client.raise_request_exception = False
    with OUTAGES[0]():
        retry_later(client.get("/nothing"))


@pytest.mark.parametrize("debug", [False, True])
def test_a_refused_form_is_told_to_come_back_as_its_page_needs_the_database(settings, debug):
    settings.DEBUG = debug
    stranger = Client(enforce_csrf_checks=True, raise_request_exception=False)
    with OUTAGES[0]():
        retry_later(stranger.post("/cart/add/", {"product": "apples"}))
    assert stranger.post("/cart/add/", {"product": "apples"}).status_code == 403


@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_the_page_of_an_error_is_ours_and_shows_no_setting_with_debug(client, settings, monkeypatch, accept):
    settings.DEBUG, settings.CELERY_BROKER_URL = True, "redis://shop:the-password@127.0.0.1/0"
    monkeypatch.setattr("shop.metrics.may_read", None)  # this view fails
    for path, host, words in ("/metrics", "testserver", "Error 500"), ("/", "evil.example", "Error 400"):
        answer = client.get(path, headers={"Host": host, "Accept": accept})
        assert (answer.status_code, words in answer.text) == (int(words[-3:]), True)
        for inside in ("the-password", "CELERY", "Traceback", "may_read"):
            assert inside not in answer.text


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_form_comes_back_to_be_sent_once_more_and_is_one_order(client, settings, outage: Outage):
    product(stock=10)
    for debug in (False, True):
        settings.DEBUG = debug
        put_in_cart(client, 3)
        form = FORM | hidden_in(client.get("/checkout/?country=PL"))
        with outage():
            text = retry_later(client.post("/checkout/", form))
        assert "Send again" in text
        for name, value in form.items():
            assert f'name="{name}" value="{value}"' in text
        assert client.post("/checkout/", form).url == Order.objects.first().get_absolute_url()
    assert (Order.objects.count(), stock_of(), len(effects()), in_cart(client)) == (2, 4, 2, {})


def test_nothing_goes_into_a_cart_that_can_not_be_kept(client):
    product()
    put_in_cart(client, 1)
    for outage in OUTAGES:
        with outage():
            retry_later(put_in_cart(client, 1))
            by_htmx = client.post("/cart/add/", {"product": "apples", "quantity": 1}, headers={"HX-Request": "true"})
            assert "Your last change may not have been saved" in retry_later(by_htmx)
            assert "Send again" not in by_htmx.content.decode()
        assert in_cart(client) == {"apples": 1}


def test_every_page_is_a_page_of_ours_during_an_outage(admin_client):
    admin_client.raise_request_exception = False
    for path in ("/", "/products/?q=a", "/cart/", "/orders/1001/?token=x", "/admin/", "/no/such/page"):
        for outage in (sick.away, sick.exhausted):
            with outage():
                assert "We\u2019ll be right back" in retry_later(admin_client.get(path))
        assert admin_client.get(path).status_code != 503


def test_the_shelves_stay_open_while_the_database_is_read_only(client):
    product()
    with sick.read_only():
        assert "Apples" in client.get("/products/").content.decode()
        assert client.get("/products/apples/").status_code == 200
        assert client.get("/api/products").status_code == 200


def test_readyz_says_that_no_order_can_be_taken_and_healthz_that_we_live(client):
    for outage in OUTAGES:
        with outage():
            ready = client.get("/readyz")
            assert (ready.status_code, ready.content.startswith(b"database: ")) == (503, True)
            assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_an_order_that_runs_into_a_lock_or_a_time_limit_leaves_nothing_behind(client):
    product(stock=10)
    set_here(lock_timeout="50ms")
    with locked("SELECT FROM catalog_product FOR UPDATE"):
        retry_later(order(client))
    assert (Order.objects.count(), Job.objects.count(), stock_of(), effects()) == (0, 0, 10, {})
    connection.close()
    set_here(statement_timeout="50ms")
    with locked("LOCK TABLE orders_orderline"):  # the order is written and its pieces are taken by then
        retry_later(order(client))
    assert (Order.objects.count(), Job.objects.count(), stock_of(), effects()) == (0, 0, 10, {})
    assert order(client).status_code == 201


def test_an_order_that_staff_can_not_save_now_is_said_so(admin_client):
    admin_client.raise_request_exception = False
    apples = product()
    set_here(lock_timeout="50ms")
    page = f"/admin/catalog/product/{apples.pk}/change/"
    shown = admin_client.get(page).context["adminform"].form
    form = {name: shown[name].value() or "" for name in shown.fields} | {"price": "9.99", "active": "on"}
    form["initial-stock"] = form["stock"]
    with locked("SELECT FROM catalog_product FOR UPDATE"):
        retry_later(admin_client.post(page, form))
    assert admin_client.post(page, form).status_code == 302
    assert str(Product.objects.get().price) == "9.99"


def test_a_checkout_that_deadlocks_is_tried_again_and_sells_once(client):
    """Another session locks the row that the checkout needs, and waits for the one it has. The checkout waited first,
    so PostgreSQL ends its transaction."""
    apples, pears = product("apples", stock=10), product("pears", stock=10)
    set_here(deadlock_timeout="400ms")
    lines = [{"product": slug, "quantity": 1} for slug in ("apples", "pears")]
    body = json.dumps(FORM | {"lines": lines})
    answers: list[Any] = []

    def deadlock() -> None:
        with sick.another_session() as other:
            other.execute("SET deadlock_timeout = '10s'")
            other.execute("SELECT FROM catalog_product WHERE id = %s FOR UPDATE", [pears.pk])
            holding.append(True)
            until(sick.a_session_waits)
            other.execute("SELECT FROM catalog_product WHERE id = %s FOR UPDATE", [apples.pk])

    holding: list[bool] = []
    with sick.meanwhile(deadlock):
        until(lambda: holding)
        answers.append(client.post("/api/orders", body, content_type="application/json"))
    assert answers[0].status_code == 201
    assert (stock_of("apples"), stock_of("pears"), Order.objects.count(), len(effects())) == (9, 9, 1, 1)


def test_a_serialization_failure_is_tried_again_and_sells_once(client):
    """With another isolation level PostgreSQL does not let two updates of one row pass one after the other."""
    product(stock=10)
    set_here(default_transaction_isolation="repeatable read")
    holding: list[bool] = []

    def sell_another() -> None:
        with sick.another_session() as other:
            other.execute("UPDATE catalog_product SET stock = stock - 1")
            holding.append(True)
            until(sick.a_session_waits)

    with sick.meanwhile(sell_another):
        until(lambda: holding)
        assert order(client).status_code == 201
    assert (stock_of(), Order.objects.count(), len(effects())) == (7, 1, 1)


def test_the_isolation_is_the_one_that_the_shop_is_made_for_whatever_the_databases_default_is():
    name = connection.settings_dict["NAME"]
    sick.administer(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
    finally:
        sick.administer(f"ALTER DATABASE {name} RESET default_transaction_isolation")


@pytest.mark.parametrize("delivered", [True, False])
def test_an_order_whose_commit_was_not_answered_is_charged_only_when_it_is_sent_again(client, delivered: bool):
    product(stock=10)
    with sick.cut_at(b"COMMIT", 1, delivered):
        retry_later(order(client))
    assert (Order.objects.count(), stock_of(), effects()) == (int(delivered), 8 if delivered else 10, {})
    again = order(client)
    assert (again.status_code, again.json()["status"]) == (201, "paid")
    assert (Order.objects.get().number, stock_of(), len(effects())) == (again.json()["number"], 8, 1)


def test_an_order_whose_commit_was_not_answered_is_cancelled_unpaid_unless_sent_again(client):
    product(stock=10)
    with sick.cut_at(b"COMMIT", 1, delivered=True):
        order(client)
    number = Order.objects.get().number
    attempt(f"settle:{number}")
    attempt(f"void:{number}")
    assert (Order.objects.get().status, stock_of(), effects()) == ("cancelled", 10, {})


@pytest.mark.parametrize("delivered", [True, False])
def test_a_reservation_whose_commit_was_not_answered_is_an_order_being_confirmed_and_then_paid(client, delivered: bool):
    product(stock=10)
    with sick.cut_at(b"COMMIT", 2, delivered):
        answer = order(client)
    assert (answer.status_code, answer.json()["status"]) == (202, "placed")
    placed = Order.objects.get()
    assert placed.status == ("paid" if delivered else "placed")
    if not delivered:
        attempt(f"settle:{placed.number}")
    assert order(client).json() == answer.json() | {"status": "paid"}
    assert effects() == {f"payments/authorization payment:{placed.number}": 1}
    assert Job.objects.filter(key=f"receipt:{placed.number}").exists()


def test_a_reservation_that_could_not_be_written_down_is_told_as_being_confirmed(client):
    """Orders can't be written from before the money is reserved until the answer is out."""
    product(stock=10)
    fault("payments", latency_ms=500)
    answered = Event()

    def lock() -> None:
        with sick.another_session() as other:
            other.autocommit = True
            until(lambda: other.execute("SELECT FROM orders_order").rowcount)
            other.autocommit = False
            other.execute("LOCK TABLE orders_order IN SHARE MODE")  # may be read, not written
            assert answered.wait(10)

    set_here(lock_timeout="50ms")
    with sick.meanwhile(lock):
        answer = order(client)
        answered.set()
    assert (answer.status_code, answer.json()["status"]) == (202, "placed")
    number = answer.json()["number"]
    assert attempt(f"settle:{number}").state == "succeeded"
    assert (Order.objects.get().status, effects()) == ("paid", {f"payments/authorization payment:{number}": 1})


def test_an_order_is_shown_although_the_cart_could_not_be_emptied(client):
    product(stock=10)
    put_in_cart(client, 1)
    form = FORM | hidden_in(client.get("/checkout/?country=PL"))
    set_here(lock_timeout="50ms")
    with locked("SELECT FROM orders_cart FOR UPDATE"):
        assert client.post("/checkout/", form).url == Order.objects.get().get_absolute_url()
    assert client.post("/checkout/", form).url == Order.objects.get().get_absolute_url()
    assert (Order.objects.count(), len(effects()), in_cart(client)) == (1, 1, {})


def test_commands_say_it_in_one_line(capsys):
    for outage in OUTAGES:
        with outage(), pytest.raises(CommandError, match=r"^the database \(DATABASE_URL\) fails: .+$"):
            call_command("jobs", "replay", "--all")
    for outage in (sick.away, sick.exhausted):  # the audit only reads
        with outage(), pytest.raises(SystemExit) as end:
            call_command("audit")
        assert end.value.code == 4
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_disk_loses_no_order_that_was_answered_and_charges_none_that_was_not(client, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "PAUSES", (0,))
    disk = tmp_path / "disk"
    disk.mkdir()
    with sick.small_disk(disk) as full:
        product(stock=100)
        first = order(client, "first").json()["number"]
        with full():
            answers = {f"key-{n}": order(client, f"key-{n}", quantity=1) for n in range(9)}
            with suppress(Ignore):  # where not even the claim finds room
                attempt(f"invoice:{first}")
            assert Job.objects.filter(key=f"invoice:{first}", state__in=["ready", "waiting"], attempts=0).exists()
            numbers = {key: answer.json()["number"] for key, answer in answers.items() if answer.status_code < 300}
            for answer in answers.values():
                assert answer.status_code in (201, 202) or retry_later(answer)
            assert len(numbers) < len(answers), "no checkout met the full disk"
        assert set(Order.objects.values_list("number", flat=True)) == {first, *numbers.values()}
        assert stock_of() == 98 - len(numbers)
        assert {key.rpartition(":")[2] for key in effects()} == {str(number) for number in (first, *numbers.values())}
        for key in answers:
            again = order(client, key, quantity=1)
            assert (again.status_code, again.json()["status"]) == (201, "paid")
            assert numbers.setdefault(key, again.json()["number"]) == again.json()["number"]
        assert (Order.objects.count(), stock_of(), set(effects().values())) == (10, 89, {1})
        assert attempt(f"invoice:{first}").state == "succeeded"
