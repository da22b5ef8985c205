"""Limits on strangers: sign-ins, orders, declined cards, held stock, new carts. Each test has its own addresses and
names, as the broker counts for an hour."""

import itertools
import json
import logging
import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from prometheus_client.multiprocess import MultiProcessCollector

from backroom.inbound import limits
from backroom.inbound.client import client_of
from backroom.observe.redact import redact
from catalog.search import index
from orders.models import Order
from shop import request_metrics
from shop.environment import LIMITS
from shop.logs import formatter
from tests.integration import accounts
from tests.integration.broker import broker_at
from tests.integration.buying import FORM, product
from tests.integration.carts import hidden_in, put_in_cart
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners", "_three_of_all")]
_numbers = itertools.count(1)
ORDER = FORM | {"lines": [{"product": "apples", "quantity": 1}]}


@pytest.fixture
def _three_of_all(settings):
    """Three an hour, so that the clock opens none."""
    settings.BACKROOM_LIMITS = dict.fromkeys(LIMITS, (3, 3600))


@pytest.fixture
def lines():
    """All lines of the log, as a machine reads them."""
    found: list[dict] = []
    reader = logging.Handler()
    reader.setFormatter(formatter("json", redact))
    reader.emit = lambda record: found.append(json.loads(reader.format(record)))  # type: ignore[method-assign]
    logging.getLogger().addHandler(reader)
    yield found
    logging.getLogger().removeHandler(reader)


def stranger() -> Client:
    """A client from an address that no other test uses."""
    number = next(_numbers)
    return Client(REMOTE_ADDR=f"203.0.{number // 250}.{number % 250}")


def order(client: Client, **more: str):
    body = ORDER | {"email": f"{next(_numbers)}@example.com"} | more
    return client.post("/api/orders", json.dumps(body), content_type="application/json")


def sign_in(client: Client, name: str, password: str):
    return client.post("/admin/login/?next=/admin/", {"username": name, "password": password})


def refused(response) -> None:
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert re.search(r"Too many requests\. Try again in (a|\d+) (second|minute)s?\.", response.content.decode())


def test_nothing_is_suggested_to_a_client_that_asks_without_end():
    index.write([product("figs").pk])
    client = stranger()
    found = [len(client.get("/products/suggest/?q=figs").context["products"]) for _ in range(4)]
    assert found == [1, 1, 1, 0]


def test_the_right_password_after_many_wrong_ones_is_refused():
    User.objects.create_superuser("guessed-at", password="right")
    for number in range(3):
        assert sign_in(stranger(), "guessed-at", f"wrong {number}").status_code == 200
    refused(sign_in(stranger(), "Guessed-at", "right"))


def test_one_client_cannot_try_a_password_at_many_accounts():
    client = stranger()
    for number in range(3):
        assert sign_in(client, f"name-{number}", "password").status_code == 200
    refused(sign_in(client, "another", "password"))


def test_a_customers_sign_in_counts_by_address_and_by_client_and_is_recorded_without_it(lines):
    email, client = accounts.fresh(), stranger()
    user = accounts.account(email)
    for _ in range(3):
        assert accounts.sign_in(stranger(), email, "wrong").status_code == 422
        assert accounts.sign_in(client, accounts.fresh(), "wrong").status_code == 422
    refused(accounts.sign_in(stranger(), email.upper()))
    refused(accounts.sign_in(client, accounts.fresh()))
    failed = [line for line in lines if line.get("what") == "sign-in failed"]
    assert [line["user"] for line in failed] == [user.pk, None] * 3
    assert email not in json.dumps(lines)


@pytest.mark.parametrize("ask", [accounts.sign_up, accounts.ask_reset])
def test_mails_of_accounts_are_limited_by_client_and_by_address_known_or_not(ask, monkeypatch):
    known, client = accounts.fresh(), stranger()
    accounts.account(known)
    for email in (known, accounts.fresh()):
        assert [ask(stranger(), email).status_code for _ in range(3)] == [302] * 3
        refused(ask(stranger(), email))
    assert [ask(client, accounts.fresh()).status_code for _ in range(3)] == [302] * 3
    before = User.objects.count()
    monkeypatch.setattr(User, "set_password", lambda *_: pytest.fail("a password is hashed, which takes long"))
    refused(ask(client, accounts.fresh()))
    assert User.objects.count() == before, "no account without its mail"


def test_orders_of_one_client_are_limited_and_another_client_is_served():
    product(stock=100)
    client = stranger()
    assert {order(client).status_code for _ in range(3)} == {201}
    answer = order(client)
    refused(answer)
    assert (answer["Content-Type"], answer.json()["title"]) == ("application/problem+json", "Too Many Requests")
    assert order(stranger()).status_code == 201


def test_a_victim_is_not_flooded_with_mails():
    product(stock=100)
    answers = [
        order(stranger(), email=email) for email in ["victim@example.com", "Victim@Example.com", "victim@example.com"]
    ]
    assert {answer.status_code for answer in answers} == {201}
    refused(order(stranger(), email="victim@example.com"))


@pytest.mark.parametrize(("card", "status"), [("demo-decline", 402), ("demo-slow", 202)])
def test_declined_cards_and_stock_without_payment_are_limited(settings, card, status):
    product(stock=100)
    settings.BACKROOM_LIMITS["unpaid_by_client"] = (1, 3600)  # a slow card takes two seconds
    client = stranger()
    assert order(client, card=card).status_code == status
    refused(order(client))
    assert Order.objects.count() == 1


def test_pieces_that_are_held_without_payment_are_limited_also_at_the_same_moment(settings):
    product(stock=100)
    settings.BACKROOM_LIMITS = {"unpaid_pieces_by_client": (20, 3600)}
    client, lines = stranger(), [{"product": "apples", "quantity": 9}]
    address = client.defaults["REMOTE_ADDR"]
    assert [order(client, lines=lines, card=card).status_code for card in ["demo-approve", "demo-decline"] * 3] == [
        201, 402, 201, 402, 201, 402,
    ], "what is paid or declined holds nothing"  # fmt: skip
    assert order(client, lines=[{"product": "apples", "quantity": 99}]).status_code == 409, "nor what is refused"
    request = RequestFactory().get("/", REMOTE_ADDR=address)
    limits.take(request, 9, unpaid_pieces_by_client=address)  # another order, which is at the bank
    assert order(client, lines=lines, card="demo-slow").status_code == 202
    assert order(client, lines=lines, card="demo-slow").status_code == 202, "the last one may pass the limit"
    refused(order(client, lines=lines))
    assert order(stranger(), lines=lines).status_code == 201


def test_the_checkout_form_keeps_what_was_typed_when_a_limit_is_reached():
    product(stock=100)
    client = stranger()
    put_in_cart(client)
    shown = hidden_in(client.get("/checkout/?country=PL"))
    for _ in range(3):
        limits.count(unpaid_by_client=client.defaults["REMOTE_ADDR"])
    answer = client.post("/checkout/", FORM | shown)
    refused(answer)
    assert f'value="{FORM["address"]}"' in answer.content.decode()


def test_carts_without_a_session_are_limited():
    product(stock=100)
    address = stranger().defaults["REMOTE_ADDR"]
    assert {put_in_cart(Client(REMOTE_ADDR=address)).status_code for _ in range(3)} == {302}
    refused(put_in_cart(Client(REMOTE_ADDR=address)))
    shopper = stranger()
    assert {put_in_cart(shopper).status_code for _ in range(5)} == {302}, "a session has one cart"


def test_guesses_at_the_numbers_of_orders_are_limited():
    client = stranger()
    guesses = [client.post("/orders/find/", {"number": 1001 + n, "email": "a@example.com"}) for n in range(4)]
    assert [guess.status_code for guess in guesses[:3]] == [302] * 3
    refused(guesses[3])


def test_a_full_limit_opens_again_one_request_at_a_time(settings):
    settings.BACKROOM_LIMITS = {"orders_by_client": (2, 0.2)}
    request, subject = RequestFactory().get("/"), f"opens {next(_numbers)}"

    def passes() -> bool:
        try:
            limits.take(request, orders_by_client=subject)
        except limits.LimitReached:
            return False
        return True

    while passes():
        pass
    until(passes)


def test_while_the_broker_is_away_orders_and_staff_pass():
    product(stock=100)
    User.objects.create_superuser("keeper", password="right")
    client = stranger()
    with broker_at("redis://127.0.0.1:9/0"):
        assert [order(client).status_code for _ in range(4)] == [201] * 4
        assert [sign_in(client, "keeper", "right").status_code for _ in range(4)] == [302] * 4


def test_no_limit_holds_an_address_in_the_broker():
    product(stock=100)
    order(stranger(), email="kawiarnia@example.com")
    client = limits.scripts.client()
    keys = list(client.scan_iter("backroom:limit:*"))
    assert keys
    assert not [key for key in keys if "example" in key or "203.0" in key]
    assert all(-1 != client.ttl(key) <= 2 * 3600 for key in keys), "each expires"


@pytest.mark.parametrize(
    ("header", "sent", "client"),
    [
        ("", {"X-Forwarded-For": "198.51.100.7"}, "192.0.2.1"),
        ("X-Forwarded-For", {"X-Forwarded-For": "10.0.0.1, 198.51.100.7"}, "198.51.100.7"),
        ("X-Real-IP", {"X-Real-IP": "2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"),
        ("X-Real-IP", {"X-Real-IP": "::ffff:198.51.100.7"}, "198.51.100.7"),
        ("X-Real-IP", {"X-Forwarded-For": "198.51.100.7"}, "192.0.2.1"),
        ("X-Real-IP", {"X-Real-IP": "junk"}, ""),
    ],
)
def test_only_the_trusted_header_names_the_client(settings, header, sent, client):
    settings.BACKROOM_CLIENT_HEADER = header
    assert client_of(RequestFactory().get("/", headers=sent, REMOTE_ADDR="192.0.2.1")) == client


def test_a_proxy_without_the_setting_is_not_taken_for_the_one_customer(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client_of(RequestFactory().get("/", REMOTE_ADDR="192.0.2.1")) == ""


def test_security_events_are_lines_and_counts(lines):
    person = User.objects.create_user("signs-in-once", password="right", is_staff=True)
    client, group = stranger(), Group.objects.first()
    sign_in(client, "signs-in-once", "wrong")
    sign_in(client, "a password, typed too early", "")
    sign_in(client, "signs-in-once", "right")
    person.groups.add(group)
    person.is_superuser = True
    person.save()
    person.set_password("right again")
    person.save()
    found = [line for line in lines if line["event"] == "security"]
    address = client.defaults["REMOTE_ADDR"]
    assert [(line["what"], line.get("client"), line.get("user", line.get("id"))) for line in found] == [
        ("rights changed", None, None),  # created as staff
        ("sign-in failed", address, person.pk),
        ("signed in", address, person.pk),
        ("rights changed", None, person.pk),
        ("rights changed", None, person.pk),
        ("password changed", None, person.pk),
    ]
    assert "typed too early" not in json.dumps(lines)
    folder = request_metrics.settings.METRICS_DIR
    families = {family.name: family for family in MultiProcessCollector(None, str(folder)).collect()}
    counts = {sample.labels["event"]: sample.value for sample in families["backroom_security_events"].samples}
    assert counts["signed in"] >= 1
    assert counts["sign-in failed"] >= 1
