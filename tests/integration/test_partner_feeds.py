"""The supplier's feed, the accounting office and the receivers of webhooks, over HTTP, as their clients see them."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from standardwebhooks import Webhook

SECRET = "whsec_" + "A" * 43 + "="
DOCUMENT = {
    "number": "INV-7", "order": "1001", "date": "2026-11-26", "currency": "EUR", "gross": "12.60",
    "taxes": [{"rate": "5", "net": "12.00", "vat": "0.60"}],
}  # fmt: skip
BATCH = {"series": "invoices", "documents": [DOCUMENT, DOCUMENT | {"number": "INV-8", "order": "1002"}]}


@pytest.fixture
def call(partners):
    def call(method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        options = {} if body is None else {"body": json.dumps(body)}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(method, f"{partners}{path}", headers=names, redirect=False, retries=False, **options)

    return call


# The supplier


def supply(call, **delivered: int) -> None:
    items = [{"sku": sku, "delivered": count, "price": "2.40"} for sku, count in delivered.items()]
    assert call("PUT", "/supplies", {"items": items}).status == 200


def page(call, cursor: str = "", limit: int = 2) -> dict:
    return call("GET", f"/supplier/changes?{urlencode({'cursor': cursor, 'limit': limit})}").json()


def skus(page: dict) -> list[str]:
    return [item["sku"] for item in page["items"]]


def test_a_feed_has_pages_and_all_of_a_run_have_its_watermark(call):
    supply(call, a=1, b=2, c=3)
    first = page(call)
    supply(call, a=4)
    last = page(call, first["next"])
    assert (skus(first), skus(last), last["next"]) == (["a", "b"], ["c"], "")
    assert first["watermark"] == last["watermark"]
    assert skus(page(call, last["watermark"])) == ["a"]


def test_an_item_that_changes_ahead_of_the_cursor_comes_twice_and_is_not_missed(call):
    supply(call, a=1, b=2, c=3)
    first = page(call)
    supply(call, c=4)
    last = page(call, first["next"])
    assert last["items"][0]["delivered"] == 4
    assert skus(page(call, last["watermark"])) == ["c"]


def test_a_feed_without_changes_answers_304(call):
    supply(call, a=1)
    path = "/supplier/changes?cursor=1"
    tag = call("GET", path).headers["ETag"]
    assert call("GET", path, If_None_Match=tag).status == 304
    supply(call, a=2)
    assert call("GET", path, If_None_Match=tag).status == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [("cursor=7", 410), ("cursor=0.7.a", 410), ("cursor=x", 422), ("limit=0", 422), ("limit=501", 422)],
)  # fmt: skip
def test_a_wrong_cursor_or_limit_is_refused(call, query, status):
    assert call("GET", f"/supplier/changes?{query}").status == status


# Accounting


def test_a_batch_is_booked_once_for_each_key_and_each_document_is_an_effect(call):
    for _ in range(2):
        answer = call("POST", "/accounting/batches", BATCH, Idempotency_Key="accounting:1")
        assert (answer.status, answer.json()) == (201, {"series": "invoices", "documents": 2})
    found = call("GET", "/effects?partner=accounting").json()["effects"]
    assert {row["key"]: (row["order"], row["count"]) for row in found} == {
        "booked-invoice:1001": ("1001", 1),
        "booked-invoice:1002": ("1002", 1),
    }
    assert call("GET", "/accounting/batches/accounting:1").json()["documents"] == 2
    assert call("GET", "/accounting/batches/accounting:2").status == 404


@pytest.mark.parametrize(
    "wrong",
    [{"series": "credit_notes"}, {"documents": []}, {"documents": [DOCUMENT | {"gross": 12.6}]},
     {"documents": [DOCUMENT | {"name": "Kawiarnia"}]}, {"documents": [DOCUMENT] * 501}],
    ids=lambda wrong: str(wrong)[:40],
)  # fmt: skip
def test_another_body_under_a_known_key_or_a_wrong_one_is_422(call, wrong):
    call("POST", "/accounting/batches", BATCH, Idempotency_Key="accounting:1")
    assert call("POST", "/accounting/batches", BATCH | wrong, Idempotency_Key="accounting:1").status in (413, 422)


# Receivers


def deliver(call, name: str = "bistro", secret: str = SECRET, **options: Any) -> urllib3.BaseHTTPResponse:
    now, body = datetime.now(UTC), json.dumps({"type": "order.paid"})
    signed = Webhook(secret).sign("evt_1", now, body)
    stamp = str(int(now.timestamp()))
    headers = {"webhook_id": "evt_1", "webhook_timestamp": stamp, "webhook_signature": signed}
    return call("POST", f"/receiver/{name}", json.loads(body), **headers, **options)


def test_a_receiver_keeps_what_comes_and_says_whether_the_signature_holds(call):
    assert deliver(call).status == 204
    call("PUT", "/receivers/bistro", {"secret": SECRET})
    deliver(call)
    deliver(call, secret="whsec_" + "B" * 43 + "=")
    deliver(call, "other")
    found = call("GET", "/receivers/bistro").json()
    assert found["count"] == 3
    assert [each["signature"] for each in found["deliveries"]] == ["wrong", "valid", "unchecked"]
    assert (found["deliveries"][0]["event"], found["deliveries"][0]["body"]) == ("evt_1", '{"type": "order.paid"}')
    shown = call("GET", "/receivers?name=bistro").data.decode()
    assert "valid</span>" in shown
    assert SECRET in shown


def test_a_receiver_answers_as_it_is_set(call):
    call("PUT", "/receivers/bistro", {"status": 410})
    assert deliver(call).status == 410
    call("PUT", "/receivers/bistro", {"status": 302, "redirect": "http://10.0.0.1/"})
    answer = deliver(call)
    assert (answer.status, answer.headers["Location"]) == (302, "http://10.0.0.1/")
    call("PUT", "/receivers/bistro", {"status": 200, "body": "no", "size": 100_000})
    assert deliver(call).data == b"no" + b"." * 100_000
    assert deliver(call, "other").status == 204


def test_a_receiver_that_hangs_has_the_delivery_and_holds_up_no_other(call, partners):
    call("PUT", "/receivers/bistro", {"hang": True})
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        urllib3.request("POST", f"{partners}/receiver/bistro", body=b"{}", timeout=0.2, retries=False)
    assert call("GET", "/receivers/bistro").json()["count"] == 1
    assert deliver(call, "other").status == 204


@pytest.mark.parametrize("wrong", [{"status": 100}, {"secret": "guess"}, {"redirect": "a\nb"}, {"unknown": 1}], ids=str)
def test_a_wrong_behaviour_is_refused(call, wrong):
    assert call("PUT", "/receivers/bistro", wrong).status == 422


def test_the_form_sets_a_receiver(call, partners):
    form = urlencode({"name": "bistro", "status": "503", "hang": "on", "secret": ""})
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": partners}
    answer = urllib3.request("POST", f"{partners}/desk/receivers", body=form, headers=kind, redirect=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/receivers?name=bistro")
    behaviour = call("GET", "/receivers/bistro").json()["behaviour"]
    assert (behaviour["status"], behaviour["hang"]) == (503, True)
    wrong = urllib3.request("POST", f"{partners}/desk/receivers", body="name=a%0d%0ab", headers=kind, redirect=False)
    assert wrong.status == 422


def test_the_faults_of_the_receiver_hit_all_and_its_control_none(call):
    call("PUT", "/faults/receiver", {"status": 503})
    assert deliver(call).status == 503
    assert call("GET", "/receivers/bistro").json()["count"] == 0
