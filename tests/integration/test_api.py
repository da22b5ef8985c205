"""The API as a program sees it: shapes, statuses, and every error as a problem document."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from backroom.ledger.models import Job
from catalog.models import Product
from orders.models import Order
from orders.storefront.api_schema import FieldError, Problem
from tests.integration.buying import FORM, attempt, effects, fault, product, stock_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]

ORDER = FORM | {"lines": [{"product": "apples", "quantity": 2}]}


def post(client: Client, body: Any, key: str | None = None):
    """POST an order: JSON of `body`, or its text as it is."""
    raw = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/orders", raw, content_type="application/json", headers=headers)


def problem(response, status: int) -> dict[str, Any]:
    """The problem document of an answer, which must be a proper one."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert {"type", "title"} <= document.keys() <= Problem.model_fields.keys()
    assert all(error.keys() <= FieldError.model_fields.keys() for error in document.get("errors", []))
    assert not re.search("[Ii]nput|String|List|validation|parse", response.content.decode()), "pydantic's words"
    return document


def test_an_order_is_paid_and_its_page_opens_with_the_token(client):
    product()
    response = post(client, ORDER)
    placed = response.json()
    assert response.status_code == 201
    assert placed.keys() == {"number", "status", "total", "currency", "url", "token"}
    assert (placed["status"], placed["total"], placed["currency"]) == ("paid", "14.70", "EUR"), "with the delivery"
    assert placed["url"].endswith(f"/orders/{placed['number']}/?token={placed['token']}")
    assert client.get(placed["url"]).status_code == 200


def test_an_order_shows_its_jobs(client):
    product()
    placed = post(client, ORDER).json()
    attempt(f"invoice:{placed['number']}")
    shown = client.get(f"/api/orders/{placed['number']}", {"token": placed["token"]}).json()
    jobs = {job["key"].partition(":")[0]: job for job in shown["jobs"]}
    assert shown["status"] == "paid"
    assert jobs["invoice"].keys() == {"id", "task", "key", "state", "attempts", "wait_ms", "run_ms"}
    assert jobs["invoice"]["state"] == "succeeded"
    assert jobs["invoice"]["run_ms"] >= 0
    assert (jobs["analytics"]["state"], jobs["analytics"]["wait_ms"]) == ("ready", None)


def test_an_order_shows_what_its_delivery_cost_as_a_part_of_the_total(client):
    product()
    placed = post(client, ORDER | {"country": "IE"}).json()
    shown = client.get(f"/api/orders/{placed['number']}", {"token": placed["token"]}).json()
    assert (shown["total"], shown["delivery"]) == (placed["total"], "4.90") == ("9.70", "4.90")


def test_a_country_without_a_carrier_is_refused_with_a_sentence(client):
    product()
    refusal = problem(post(client, ORDER | {"country": "BR"}), 422)
    assert (refusal["title"], refusal["detail"]) == (
        "No delivery to this country",
        "We do not deliver to Brazil yet.",
    )
    assert not Order.objects.exists()


@pytest.mark.parametrize("token", ["", "wrong", "ż", "\0"])
def test_a_wrong_token_is_answered_like_an_unknown_order(client, token):
    product()
    number = post(client, ORDER).json()["number"]
    wrong = problem(client.get(f"/api/orders/{number}", {"token": token}), 404)
    assert wrong == problem(client.get("/api/orders/999999999999999999999999", {"token": token}), 404)


def test_a_declined_card_is_402(client):
    product(stock=10)
    document = problem(post(client, ORDER | {"card": "demo-decline"}), 402)
    assert "declined" in document["detail"]
    assert stock_of() == 10


def test_a_payment_that_is_not_known_yet_is_202(client):
    product()
    fault("payments", down=True)
    response = post(client, ORDER)
    assert (response.status_code, response.json()["status"]) == (202, "placed")


def test_sold_out_is_409_and_names_the_product(client):
    product(stock=1)
    document = problem(post(client, ORDER), 409)
    assert (document["type"], document["product"]) == ("urn:backroom:problem:sold-out", "apples")


def test_a_changed_price_is_409(client):
    product(price="2.50")
    lines = [{"product": "apples", "quantity": 1, "price": "2.40"}]
    assert problem(post(client, ORDER | {"lines": lines}), 409)["type"] == "urn:backroom:problem:price-changed"
    lines[0]["price"] = "2.50"
    assert post(client, ORDER | {"lines": lines}).status_code == 201


def test_the_same_key_again_gives_the_same_answer_and_charges_once(client):
    product()
    first, second = post(client, ORDER, "key-1"), post(client, ORDER, "key-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert list(effects().values()) == [1]


def test_a_declined_order_stays_declined_under_its_key(client):
    product()
    declined = ORDER | {"card": "demo-decline"}
    assert problem(post(client, declined, "key-1"), 402) == problem(post(client, declined, "key-1"), 402)
    assert Order.objects.count() == 1


def test_the_same_key_with_another_body_is_422(client):
    product()
    placed = post(client, ORDER, "key-1").json()
    guess = post(client, ORDER | {"city": "Sopot"}, "key-1")
    assert problem(guess, 422)["type"].endswith(":key-reused")
    assert not [name for name in ("number", "token") if str(placed[name]) in guess.content.decode()], "of the first"


def test_a_copied_request_does_not_open_the_order_after_a_day_and_is_no_second_order(client):
    product()
    post(client, ORDER, "key-1")
    Order.objects.update(created_at=Now() - timedelta(days=1, minutes=1))
    refusal = problem(post(client, ORDER, "key-1"), 422)
    assert refusal["type"].endswith(":key-reused")
    assert "token" not in json.dumps(refusal)
    assert Order.objects.count() == 1


def test_without_a_key_each_request_is_an_order(client):
    product()
    assert post(client, ORDER).json()["number"] != post(client, ORDER).json()["number"]


LINE = {"product": "apples", "quantity": 1}
WRONG = [
    ("/email", {"email": "no-address"}),
    ("/email", {"email": f"{'a' * 250}@example.com"}),
    ("/email", {"email": "a@example.com\nBcc: b@example.com"}),
    ("/email", {"email": None}),
    *[
        ("/email", {"email": address})
        for address in (
            "\u0131brahim@example.com",
            "\u017fam@example.com",
            "\u212aurt@example.com",
            "a@ex\u00e4mple.com",
            "=?utf-8?q?a?=@example.com",
            '"a b"@example.com',
            "a@[127.0.0.1]",
            "a@localhost",
            f"{'a' * 65}@example.com",
        )
    ],
    *[("/name", {"name": blank}) for blank in ("\u3164", "\u200d", "\u2800", "\u00a0", "\U0001fabf", "tab\t")],
    ("/name", {"name": "   "}),
    ("/name", {"name": "x" * 101}),
    ("/name", {"name": "nul\0"}),
    ("/name", {"name": "two\nlines"}),
    ("/name", {"name": "\ud800"}),
    ("/name", {"name": "turned \u202e around"}),
    ("/city", {"city": "\u2067 from the right"}),
    ("/email", {"email": "a@ex\u202eample.com"}),
    ("/name", {"name": 7}),
    ("/name", {"name": ["Łąka"]}),
    ("/country", {"country": "Poland"}),
    ("/country", {"country": "ZZ"}),
    ("/country", {"country": "pl"}),
    ("/card", {"card": "4111111111111111"}),
    ("/card", {"card": ["demo-approve"]}),
    ("/lines", {"lines": []}),
    ("/lines", {"lines": "apples"}),
    ("/lines", {"lines": {"apples": 1}}),
    ("/lines", {"lines": [LINE, LINE]}),
    ("/lines", {"lines": [{"product": f"p{n}", "quantity": 1} for n in range(51)]}),
    ("/lines/0", {"lines": [None]}),
    ("/lines/0/product", {"lines": [LINE | {"product": "a b"}]}),
    ("/lines/0/product", {"lines": [LINE | {"product": "apples\0"}]}),
    ("/lines/0/product", {"lines": [{"quantity": 1}]}),
    *[
        ("/lines/0/quantity", {"lines": [LINE | {"quantity": quantity}]})
        for quantity in (0, -1, 100, 10**30, 1.0, 1.5, True, "1", None, [1])
    ],
    *[
        ("/lines/0/price", {"lines": [LINE | {"price": price}]})
        for price in (2.4, "2,40", "2.4", "-2.40", "NaN", "1e2", "2.40\n", 2)
    ],
    ("/total", {"total": "0.01"}),
    ("/lines/0/unit_price", {"lines": [LINE | {"unit_price": "0.01"}]}),
]


@pytest.mark.parametrize(("pointer", "change"), WRONG)
def test_a_wrong_field_is_422_and_pointed_at(client, pointer, change):
    product()
    document = problem(post(client, ORDER | change), 422)
    assert [error["pointer"] for error in document["errors"]] == [f"#{pointer}"]
    assert not Order.objects.exists()
    assert not Job.objects.exists()


def test_one_order_can_not_empty_the_shop(client):
    lines = [{"product": product(slug, stock=99).slug, "quantity": 99} for slug in ("apples", "pears", "plums")]
    document = problem(post(client, ORDER | {"card": "demo-slow", "lines": lines}), 422)
    assert document["type"] == "urn:backroom:problem:too-large"
    assert "at most 200 pieces" in document["detail"]
    assert not Order.objects.exists()
    fields = client.get("/api/openapi.json").json()["components"]["schemas"]["OrderIn"]["properties"]
    assert "200 pieces" in fields["lines"]["description"]
    lines[2]["quantity"] = 2
    assert post(client, ORDER | {"lines": lines}).status_code == 201


def test_an_unknown_product_is_422(client):
    lines = [{"product": "nectar", "quantity": 1}]
    assert problem(post(client, ORDER | {"lines": lines}), 422)["product"] == "nectar"


@pytest.mark.parametrize(
    "body", ["{", "nope", b"\xff\xfe", "[" * 30_000, '{"quantity":' + "9" * 5000 + "}", "{'email': 1}",
             '{"quantity": NaN}', "[-Infinity]",
             *('{"city": "Orléans"}'.encode(other) for other in ("utf-16", "utf-32-be", "latin-1"))]
)  # fmt: skip
def test_malformed_json_is_400(client, body):
    problem(post(client, body), 400)


@pytest.mark.parametrize("body", ["", "[]", "null", '"text"', "7", "{}"])
def test_json_that_is_no_order_is_422(client, body):
    problem(post(client, body), 422)


def test_an_oversized_body_is_413(client):
    problem(post(client, "x" * 70_000), 413)


class Unread:
    def read(self, *size: int) -> bytes:
        raise AssertionError("the body was read")

    readline = read


@pytest.mark.parametrize("path", ["/healthz", "/cart/add/", "/ops/", "/admin/login/", "/api/orders", "/nothing"])
@pytest.mark.parametrize(
    ("sent", "status"), [({"CONTENT_LENGTH": "120000000"}, 413), ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411)]
)
def test_a_body_that_is_too_large_or_without_a_length_is_refused_before_it_is_read(path, sent, status):
    form = {"wsgi.input": Unread(), "CONTENT_TYPE": "multipart/form-data; boundary=x", **sent}
    response = Client(enforce_csrf_checks=True).generic("POST", path, **form)
    if path.startswith("/api/"):
        problem(response, status)
    assert response.status_code == status


@pytest.mark.parametrize("key", ["", "with space", "ż", "x" * 101])
def test_a_key_that_can_not_be_one_is_422(client, key):
    assert problem(post(client, ORDER, key), 422)["errors"][0]["header"] == "Idempotency-Key"


def test_text_is_trimmed(client):
    product()
    post(client, ORDER | {"name": "  Łąka  ", "email": " kawiarnia@example.com "})
    order = Order.objects.get()
    assert (order.name, order.email) == ("Łąka", "kawiarnia@example.com")


@pytest.mark.parametrize("path", ["/api/nothing", "/api/orders/", "/api/orders/abc", "/api/orders/-1", "/api/a/b/"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_address_is_404(client, method, path):
    problem(getattr(client, method)(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("get", "/api/orders", "POST"),
        ("options", "/api/orders", "POST"),
        ("put", "/api/products", "GET, HEAD"),
        ("delete", "/api/orders/1001", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_one(client, method, path, allowed):
    response = getattr(client, method)(path)
    problem(response, 405)
    assert response["Allow"] == allowed


def test_head_is_answered_wherever_get_is(client):
    product()
    placed = post(client, ORDER).json()
    for path, query in ("/api/products", {}), (f"/api/orders/{placed['number']}", {"token": placed["token"]}):
        response = client.head(path, query)
        assert (response.status_code, response.content) == (200, b"")
        assert response["Content-Type"] == client.get(path, query)["Content-Type"]
    assert client.head(f"/api/orders/{placed['number']}").status_code == 404


def test_a_mistake_of_ours_is_500_without_details(client):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE catalog_product RENAME TO mislaid")  # rolled back with the test
    assert "catalog_product" not in json.dumps(problem(post(client, ORDER), 500))


def test_products_come_in_pages(client):
    for slug in ("apples", "pears", "quinces"):
        product(slug)
    Product.objects.filter(slug="pears").update(active=False)
    first = client.get("/api/products", {"limit": 1}).json()
    assert first["items"] == [{"slug": "apples", "name": "Apples", "price": "2.40", "currency": "EUR", "stock": 10}]
    last = client.get(first["next"]).json()
    assert [item["slug"] for item in last["items"]] == ["quinces"]
    assert last["next"] is None


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "101"}, {"after": "\0"}])
def test_a_wrong_page_is_422(client, query):
    problem(client.get("/api/products", query), 422)


def test_no_cookie_opens_anything(client, admin_client):
    product()
    number = post(client, ORDER).json()["number"]
    assert "Set-Cookie" not in post(client, ORDER)
    problem(admin_client.get(f"/api/orders/{number}"), 404)


def test_the_documentation_loads_nothing_from_elsewhere(client):
    page = client.get("/api/docs").content.decode()
    assert "/static/ninja/swagger-ui-bundle.js" in page
    assert "://" not in page
    assert 'name="viewport"' in page, "a phone shows the page at the width of a desktop"
    schema = client.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {"/api/products", "/api/orders", "/api/orders/{number}"}
    tags = {tuple(each["tags"]) for operations in schema["paths"].values() for each in operations.values()}
    assert tags == {("Shop",)}, "an operation without a tag is in the group default"
    assert client.get("/api/").url == "/api/docs"


def test_the_document_refuses_the_text_that_the_door_refuses(client):
    fields = client.get("/api/openapi.json").json()["components"]["schemas"]["OrderIn"]["properties"]
    for pointer, change in WRONG:
        field, typed = pointer[1:], change.get(pointer[1:])
        rules = fields.get(field, {})
        if isinstance(typed, str) and rules.get("type") == "string":
            admitted = all(re.search(each["pattern"], typed) for each in rules.get("allOf", []))
            admitted = admitted and len(typed) <= rules.get("maxLength", len(typed))
            assert not (admitted and typed in rules.get("enum", [typed])), (field, typed)


def test_errors_are_documented_as_they_are_sent(client):
    document = client.get("/api/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                sent = "application/problem+json" if int(status) >= 400 else "application/json"
                assert list(response["content"]) == [sent], (path, status)


def test_money_is_never_a_float(client):
    product(price="0.10")
    lines = [{"product": "apples", "quantity": 3}]
    assert post(client, ORDER | {"lines": lines}).json()["total"] == "10.20"
    assert Order.objects.get().total == Decimal("10.20")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_a_foreign_page_can_send_is_refused(client, kind):
    product()
    answer = client.post("/api/orders", json.dumps(ORDER), content_type=kind)
    assert problem(answer, 415)["title"] == "Unsupported Media Type"
    assert not Order.objects.exists()
