"""The partners: effects happen once for each key, faults work as set, and mails are shown safely.

Each test talks to a real `python -m partners` on free ports, over HTTP and SMTP.
"""

import email.policy
import json
import os
import signal
import smtplib
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from urllib.parse import urlencode

import pytest

from partners.store import BATCH, Store
from tests.integration.partners_world import HEALTHY, ROOT, SHIPMENT, World, receipt

CHARGE = {"order": "1001", "amount": "12.40", "currency": "EUR", "card": "demo-approve"}
SLOW, DECLINED = CHARGE | {"card": "demo-slow"}, CHARGE | {"card": "demo-decline"}
MISSING = "amount: Field required; currency: Field required; card: Field required"
REVIEW = {"order": "1001", "amount": "299.99", "currency": "EUR", "country": "PL"}
EVENT = {"event": "order_paid", "order": "1001", "amount": "12.40", "currency": "EUR", "items": 3}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("partners"))
    world.start()
    yield world
    assert world.stop() == 0


@pytest.fixture
def world(running):
    assert running.call("POST", "/reset") == (200, {"status": "reset"})
    return running


# Effects and keys


@pytest.mark.parametrize(
    ("path", "body", "key", "status", "effect"),
    [
        ("/payments/authorizations", CHARGE, "payment:1001", 201, ("payments", "authorization")),
        ("/warehouse/shipments", SHIPMENT, "shipment:1001", 201, ("warehouse", "shipment")),
        ("/fraud/reviews", REVIEW, "fraud:1001", 200, ("fraud", "review")),
        ("/analytics/events", EVENT, "analytics:1001", 202, ("analytics", "order_paid")),
    ],
)
class TestKeys:
    def test_the_same_key_again_gets_the_same_answer_and_no_second_effect(self, world, path, body, key, status, effect):
        first = world.call("POST", path, body, key)
        assert first[0] == status
        assert world.call("POST", path, body, key) == first
        (found,) = world.effects()
        assert (found["partner"], found["kind"]) == effect
        assert (found["key"], found["order"], found["count"]) == (key, "1001", 1)

    def test_the_same_key_with_another_body_is_refused(self, world, path, body, key, status, effect):
        world.call("POST", path, body, key)
        refused, problem = world.call("POST", path, body | {"order": "1002"}, key)
        assert refused == 422
        assert "another body" in problem["detail"]
        assert world.counts() == {(*effect, key): 1}

    def test_without_a_key_every_request_is_an_effect(self, world, path, body, key, status, effect):
        for _ in range(3):
            assert world.call("POST", path, body)[0] == status
        assert world.counts() == {(*effect, ""): 3}

    def test_one_key_many_times_at_once_is_one_effect(self, world, path, body, key, status, effect):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: world.call("POST", path, body, key), range(48)))
        assert all(answer == answers[0] for answer in answers)
        assert world.counts() == {(*effect, key): 1}


def test_effects_can_be_narrowed_down(world):
    world.call("POST", "/fraud/reviews", REVIEW, "fraud:1001")
    world.call("POST", "/fraud/reviews", REVIEW | {"order": "1002"}, "fraud:1002")
    world.call("POST", "/analytics/events", EVENT, "analytics:1001")
    assert [each["key"] for each in world.effects(order="1001")] == ["analytics:1001", "fraud:1001"]
    assert [each["key"] for each in world.effects(partner="fraud")] == ["fraud:1002", "fraud:1001"]
    assert [each["key"] for each in world.effects(key="fraud:1002", partner="fraud")] == ["fraud:1002"]


def test_effects_since_a_time_are_those_that_happened_then_or_later_or_again(world):
    for order in ("1001", "1002", "1003"):
        world.send(receipt(order))
        time.sleep(0.002)  # two timestamps in the records, which have milliseconds
    world.send(receipt("1001"))
    second = world.effects(key="receipt:1002")[0]["at"]
    assert [(each["order"], each["count"]) for each in world.effects()] == [("1001", 2), ("1003", 1), ("1002", 1)]
    assert world.effects(since=second) == world.effects()
    third = world.effects(key="receipt:1003")[0]["at"]
    assert [(each["order"], each["count"]) for each in world.effects(since=third)] == [("1001", 2), ("1003", 1)]
    assert world.effects(since="2100-01-01T00:00:00Z") == []
    assert world.call("GET", "/effects?since=yesterday")[0] == 422


def test_more_effects_than_one_batch_arrive_whole(world):
    store = Store(world.var / "partners.sqlite")
    with store.transaction():
        for order in range(BATCH + 1):
            store.record_effect("fraud", "review", f"fraud:{order}", str(order))
    assert [int(each["order"]) for each in world.effects()] == list(range(BATCH, -1, -1))


def test_a_review_holds_from_300(world):
    assert world.call("POST", "/fraud/reviews", REVIEW)[1] == {"verdict": "accept", "score": 59}
    assert world.call("POST", "/fraud/reviews", REVIEW | {"amount": "300.00"})[1]["verdict"] == "hold"


# Payments


def test_a_declined_card_is_an_answer_and_no_charge(world):
    status, answer = world.call("POST", "/payments/authorizations", DECLINED, "payment:1001")
    assert (status, answer["status"], answer["amount"]) == (201, "declined", "12.40")
    assert world.call("POST", "/payments/authorizations/payment:1001/void")[1]["status"] == "declined"
    assert world.effects() == []


def taken(world, *steps):
    """Statuses after steps on an authorization, as the gateway answers them."""
    world.call("POST", "/payments/authorizations", CHARGE, "payment:1001")
    path = "/payments/authorizations/payment:1001"
    return [world.call("POST", f"{path}/{step}", {}, f"{step}:1001") for step in steps]


def kinds(world):
    return {(each["kind"], each["key"]): each["count"] for each in world.effects(partner="payments")}


RESERVED = {("authorization", "payment:1001"): 1}


def test_a_void_lets_go_of_the_money_once(world):
    for status, answer in taken(world, "void", "void"):
        assert (status, answer["status"], answer["order"]) == (200, "voided", "1001")
    assert kinds(world) == RESERVED | {("void", "void:1001"): 1}


def test_money_is_captured_once_and_refunded_once(world):
    steps = taken(world, "capture", "capture", "refund", "refund", "capture")
    assert [answer["status"] for _, answer in steps] == ["captured"] * 2 + ["refunded"] * 3
    assert kinds(world) == RESERVED | {("charge", "capture:1001"): 1, ("refund", "refund:1001"): 1}


@pytest.mark.parametrize(
    ("first", "then"), [("void", "capture"), ("void", "refund"), ("capture", "void"), (None, "refund")]
)
def test_a_step_that_comes_too_late_or_too_early_is_a_conflict_and_does_nothing(world, first, then):
    taken(world, *[first] if first else [])
    before = kinds(world)
    status, problem = world.call("POST", f"/payments/authorizations/payment:1001/{then}", {}, f"{then}:1001")
    assert (status, problem["title"]) == (409, "Conflict")
    assert kinds(world) == before


@pytest.mark.parametrize("step", ["capture", "refund"])
def test_what_was_never_reserved_or_is_still_pending_can_not_be_taken(world, step):
    assert world.call("POST", f"/payments/authorizations/payment:7/{step}")[0] == 404
    assert world.call("POST", f"{authorize_slowly(world)}/{step}")[0] == 409
    world.call("POST", "/payments/authorizations", DECLINED, "payment:1002")
    assert world.call("POST", f"/payments/authorizations/payment:1002/{step}")[0] == 409
    assert world.effects() == []


def test_a_capture_and_a_void_at_once_are_one_of_them(world):
    for number in range(20):
        key = f"payment:{number}"
        world.call("POST", "/payments/authorizations", CHARGE | {"order": str(number)}, key)
        with ThreadPoolExecutor(8) as pool:
            steps = ["capture", "void"] * 4
            paths = [f"/payments/authorizations/{key}/{step}" for step in steps]
            codes = [code for code, _ in pool.map(lambda path: world.call("POST", path, {}, "step"), paths)]
        assert sorted(codes) == [200] * 4 + [409] * 4
        assert sorted(each["count"] for each in world.effects(order=str(number))) == [1, 1]


def test_a_store_of_the_time_before_captures_is_read_as_reserved(tmp_path):
    store = Store(tmp_path / "partners.sqlite")
    with store.transaction():
        for kind, key in (("charge", "payment:7"), ("void", "payment:7"), ("charge", "capture:8")):
            store.record_effect("payments", kind, key, key.partition(":")[2])
    store.connection.close()
    found = Store(tmp_path / "partners.sqlite").execute("SELECT kind, key FROM effects ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("authorization", "payment:7"),
        ("void", "void:7"),
        ("charge", "capture:8"),
    ]


def test_a_void_before_the_authorization_stops_it(world):
    assert world.call("GET", "/payments/authorizations/payment:1001")[0] == 404
    status, tombstone = world.call("POST", "/payments/authorizations/payment:1001/void")
    assert (status, tombstone["status"], tombstone["order"]) == (200, "voided", None)
    status, answer = world.call("POST", "/payments/authorizations", CHARGE, "payment:1001")
    assert (status, answer["status"], answer["order"]) == (201, "voided", "1001")
    assert world.call("POST", "/payments/authorizations", CHARGE | {"amount": "1.00"}, "payment:1001")[0] == 422
    assert world.effects() == []


def authorize_slowly(world, key="payment:1001"):
    with pytest.raises(TimeoutError):
        world.call("POST", "/payments/authorizations", SLOW, key, timeout=0.5)
    return f"/payments/authorizations/{key}"


def wait_for_status(world, path, status, seconds=60):
    deadline = time.monotonic() + seconds
    while world.call("GET", path)[1]["status"] != status:
        assert time.monotonic() < deadline, f"never became {status}"
        time.sleep(0.1)


def test_a_slow_card_is_approved_although_the_client_left(world):
    began = time.monotonic()
    path = authorize_slowly(world)
    assert world.call("GET", path)[1]["status"] == "pending"
    assert world.effects() == []
    # a retry with the key waits for the same answer, and causes no second charge
    status, answer = world.call("POST", "/payments/authorizations", SLOW, "payment:1001")
    assert (status, answer["status"]) == (201, "approved")
    assert time.monotonic() - began >= 5.9
    assert world.call("GET", path)[1]["status"] == "approved"
    assert world.counts() == {("payments", "authorization", "payment:1001"): 1}


def test_a_slow_card_voided_while_pending_is_never_charged(world):
    path = authorize_slowly(world)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.call, "POST", "/payments/authorizations", SLOW, "payment:1001")
        assert world.call("POST", f"{path}/void")[1]["status"] == "voided"
        assert waiting.result()[1]["status"] == "voided"
    assert world.effects() == []


def test_a_slow_card_is_approved_although_the_process_died(tmp_path):
    world = World(tmp_path)
    world.start()
    path = authorize_slowly(world)
    world.stop(signal.SIGKILL)
    world.start()
    try:
        assert world.call("GET", path)[1]["status"] == "pending"
        wait_for_status(world, path, "approved")
        assert world.counts() == {("payments", "authorization", "payment:1001"): 1}
    finally:
        world.stop()


# Wrong requests are refused and have no effect


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/payments/authorizations", CHARGE | {"amount": 12.4}, "amount: Input should be a valid string"),
        ("/payments/authorizations", CHARGE | {"amount": "1e3"}, "amount"),
        ("/payments/authorizations", CHARGE | {"amount": "-1.00"}, "amount"),
        ("/payments/authorizations", CHARGE | {"amount": "NaN"}, "amount"),
        ("/payments/authorizations", CHARGE | {"amount": "0.00"}, "amount: String should match"),
        ("/payments/authorizations", CHARGE | {"amount": "12.405"}, "amount"),
        ("/payments/authorizations", CHARGE | {"card": "4111111111111111"}, "demo-approve"),
        ("/payments/authorizations", CHARGE | {"card": ["demo-approve"]}, "demo-approve"),
        ("/payments/authorizations", CHARGE | {"currency": "euro"}, "currency"),
        ("/payments/authorizations", CHARGE | {"order": 1001}, "order"),
        ("/payments/authorizations", CHARGE | {"tip": "1.00"}, "tip: Extra inputs are not permitted"),
        ("/payments/authorizations", {"order": "1001"}, MISSING),
        ("/payments/authorizations", [CHARGE], "valid dictionary"),
        ("/warehouse/shipments", SHIPMENT | {"lines": []}, "lines"),
        (
            "/warehouse/shipments",
            SHIPMENT | {"lines": [{"sku": "a", "name": "A"}]},
            "lines.0.quantity: Field required",
        ),
        (
            "/warehouse/shipments",
            SHIPMENT | {"lines": [SHIPMENT["lines"][0] | {"quantity": True}]},
            "lines.0.quantity: Input should be a valid integer",
        ),
        ("/warehouse/shipments", SHIPMENT | {"name": "   "}, "name"),
        ("/fraud/reviews", REVIEW | {"country": None}, "country"),
        ("/analytics/events", EVENT | {"event": "order_lost"}, "order_paid"),
        ("/analytics/events", EVENT | {"items": "3"}, "items"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_happens(world, path, body, word):
    status, raw, headers = world.fetch("POST", path, body, "some:1")
    assert (status, headers["Content-Type"]) == (422, "application/problem+json; charset=utf-8")
    assert word in json.loads(raw)["detail"]
    assert world.effects() == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_a_body_that_is_no_json_is_refused(world, body):
    assert world.call("POST", "/warehouse/shipments", body)[0] == 400
    assert world.call("PUT", "/faults/mail", body)[0] == 400


def test_half_a_character_is_refused(world):
    body = json.dumps(SHIPMENT | {"name": "\ud83c"}).encode()
    assert world.call("POST", "/warehouse/shipments", body, "shipment:1001")[0] == 422
    assert world.effects() == []


def test_an_oversized_body_is_refused(world):
    status, problem = world.call("POST", "/warehouse/shipments", SHIPMENT | {"name": "x" * 300_000})
    assert (status, problem["title"]) == (413, "Request Entity Too Large")


@pytest.mark.parametrize("key", ["", "two words", "a/b", "x" * 201])
def test_a_bad_key_is_refused(world, key):
    assert world.call("POST", "/fraud/reviews", REVIEW, key)[0] == 422


def test_unknown_paths_and_methods_are_problems(world):
    assert world.call("GET", "/warehouse")[1]["status"] == 404
    status, _, headers = world.fetch("DELETE", "/effects")
    assert (status, headers.get_content_type(), headers["Allow"]) == (405, "application/problem+json", "GET,HEAD")
    assert world.call("GET", "/faults/postman")[1]["detail"].startswith("There is no partner postman")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"latency": 5}, "latency: Extra inputs are not permitted"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": "5"}, "latency_ms"),
        ({"error_rate": 1.5}, "error_rate"),
        ({"error_rate": True}, "error_rate"),
        ({"status": 200}, "status"),
        ({"hang": 1}, "hang: Input should be a valid boolean"),
        ([], "valid dictionary"),
        (b'{"error_rate": NaN}', "error_rate"),
    ],
)
def test_a_wrong_switch_is_refused_and_changes_nothing(world, body, word):
    world.fault("fraud", latency_ms=1)
    status, problem = world.call("PUT", "/faults/fraud", body)
    assert status == 422
    assert word in problem["detail"]
    assert world.call("GET", "/faults/fraud")[1] == HEALTHY | {"latency_ms": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_pages_of_other_sites_can_change_nothing(world, headers):
    world.call("POST", "/fraud/reviews", REVIEW, "fraud:1001")
    for path in ("/reset", "/desk/reset", "/desk/fraud"):
        assert world.call("POST", path, b"down=on", headers=headers)[0] == 403
    assert len(world.effects()) == 1
    assert world.call("GET", "/faults/fraud")[1] == HEALTHY


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8100"])
def test_a_public_host_name_sees_and_changes_nothing(world, host):
    headers = {"Host": host, "Origin": f"http://{host}"}
    for method, path in (("GET", "/"), ("GET", "/effects"), ("PUT", "/faults/fraud")):
        assert world.call(method, path, {} if method == "PUT" else None, headers=headers)[0] == 403
    assert world.call("GET", "/effects", headers={"Host": "partners:8100"})[0] == 200
    assert world.fetch("GET", "/", headers=headers, port=world.inbox)[0] == 403
    assert world.fetch("GET", "/", headers={"Host": "localhost:8025"}, port=world.inbox)[0] == 200


# Faults over HTTP


def test_latency_delays_the_answer(world):
    world.fault("fraud", latency_ms=400)
    began = time.monotonic()
    assert world.call("POST", "/fraud/reviews", REVIEW)[0] == 200
    assert time.monotonic() - began >= 0.4


def test_a_share_of_requests_fails_without_work(world):
    world.fault("analytics", error_rate=0.5)
    answers = [world.call("POST", "/analytics/events", EVENT)[0] for _ in range(100)]
    assert set(answers) == {202, 500}
    assert world.counts() == {("analytics", "order_paid", ""): answers.count(202)}


def test_a_status_alone_fails_every_request_with_it(world):
    world.fault("warehouse", status=429)
    status, _, headers = world.fetch("POST", "/warehouse/shipments", SHIPMENT)
    assert (status, headers["Retry-After"]) == (429, "2")
    world.fault("warehouse", status=503, error_rate=1)
    assert world.call("POST", "/warehouse/shipments", SHIPMENT)[0] == 503
    assert world.effects() == []


def test_a_hanging_partner_never_answers_and_the_others_do(world):
    world.fault("payments", hang=True)
    with pytest.raises(TimeoutError):
        world.call("POST", "/payments/authorizations", CHARGE, "payment:1001", timeout=0.5)
    assert world.call("POST", "/fraud/reviews", REVIEW)[0] == 200
    world.fault("payments")
    assert world.call("GET", "/payments/authorizations/payment:1001")[0] == 404


def test_a_partner_that_is_down_drops_the_connection(world):
    world.fault("payments", down=True)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        world.call("GET", "/payments/authorizations/payment:1001")
    world.fault("payments")
    assert world.call("POST", "/payments/authorizations", CHARGE, "payment:1001")[0] == 201


def test_accept_then_fail_does_the_work_and_the_retry_does_no_more(world):
    world.fault("warehouse", accept_then_fail=True)
    assert world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")[0] == 500
    assert world.counts() == {("warehouse", "shipment", "shipment:1001"): 1}
    world.fault("warehouse")
    assert world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")[0] == 201
    assert world.counts() == {("warehouse", "shipment", "shipment:1001"): 1}


def test_a_partner_that_sends_garbage_has_done_the_work(world):
    world.fault("warehouse", garbage=True)
    assert "<!doctype" in world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")[1]
    assert world.counts() == {("warehouse", "shipment", "shipment:1001"): 1}


def test_a_partner_that_truncates_has_done_the_work_and_keeps_the_connection(world):
    world.fault("warehouse", truncate=True)
    with pytest.raises(IncompleteRead) as error:
        world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")
    assert error.value.partial.startswith(b'{"id"')
    assert world.counts() == {("warehouse", "shipment", "shipment:1001"): 1}


def test_a_slow_loris_answers_byte_by_byte(world):
    world.fault("fraud", trickle_ms=5)
    began = time.monotonic()
    assert world.call("POST", "/fraud/reviews", REVIEW)[1]["verdict"] == "accept"
    assert time.monotonic() - began > 0.5


def test_requests_and_connections_are_counted(world):
    connection = HTTPConnection("127.0.0.1", world.http, timeout=10)
    for _ in range(3):
        connection.request("POST", "/fraud/reviews", json.dumps(REVIEW))
        connection.getresponse().read()
    connection.close()
    world.send(receipt())
    traffic = world.call("GET", "/traffic")[1]
    assert traffic["fraud"] == {"requests": 3, "connections": 1}
    assert traffic["mail"] == {"requests": 1, "connections": 1}
    assert traffic["payments"] == {"requests": 0, "connections": 0}


# Mail


def test_mails_are_counted_by_the_key_in_their_message_id(world):
    world.send(receipt())
    world.send(receipt())
    stranger = receipt()
    stranger.replace_header("Message-ID", "<178023.44.99@some.host>")
    world.send(stranger)
    found = {each["key"]: each for each in world.effects(partner="mail")}
    assert (found["receipt:1001"]["kind"], found["receipt:1001"]["order"]) == ("receipt", "1001")
    assert found["receipt:1001"]["count"] == 2
    assert (found[""]["kind"], found[""]["count"]) == ("mail", 1)


def test_the_pages_link_to_the_shop(world):
    world.send(receipt())
    link = f'<a href="{os.environ["SITE_URL"]}">Shop</a>'
    for page in world.call("GET", "/")[1], world.page("/"), world.page(f"/mails/{newest(world)}/"):
        assert link in page


def test_a_mail_is_shown_with_its_html_text_and_attachments(world):
    message = receipt(subject="Rachunek: żółte jabłka 🍏")
    message.add_alternative("<html><head></head><body><h1>Dziękujemy</h1></body></html>", subtype="html")
    message.add_attachment(b"%PDF-1.7 \x00\xff", "application", "pdf", filename='rachunek "ż".pdf')
    world.send(message)
    assert "Rachunek: żółte jabłka 🍏" in world.page("/")
    number = newest(world)
    shown = world.page(f"/mails/{number}/")
    assert "Dziękujemy! Thank you." in shown
    assert "&lt;receipt.1001@backroom.example&gt;" in shown
    assert "rachunek &#34;ż&#34;.pdf" in shown
    _, html, headers = world.fetch("GET", f"/mails/{number}/html", port=world.inbox)
    assert "<h1>Dziękujemy</h1>" in html.decode()
    assert headers["Content-Security-Policy"].startswith("sandbox allow-popups")
    _, pdf, headers = world.fetch("GET", f"/mails/{number}/attachments/0", port=world.inbox)
    assert pdf == b"%PDF-1.7 \x00\xff"
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''rachunek%20%22%C5%BC%22.pdf"
    assert headers["Content-Type"] == "application/octet-stream"
    _, source, _ = world.fetch("GET", f"/mails/{number}/source", port=world.inbox)
    assert email.message_from_bytes(source, policy=email.policy.default)["Subject"] == message["Subject"]
    assert world.call("GET", f"/mails/{number}/attachments/1", port=world.inbox)[0] == 404


def newest(world) -> str:
    return world.page("/").split('href="/mails/')[1].split("/")[0]


def test_markup_in_a_mail_is_text_on_our_pages(world):
    script = "<script>alert(1)</script>"
    message = receipt(subject=script)
    message.replace_header("To", f'"{script}" <bistro@example.org>')
    message.set_content(f"</pre>{script}\n")
    message.add_attachment(b"x", "text", "html", filename=f'"><img src=x onerror={script}>.html')
    world.send(message)
    for path in ("/", f"/mails/{newest(world)}/", "/?q=" + script):
        text = world.page(path)
        assert "&lt;script&gt;" in text
        assert "<script" not in text
        assert "<img" not in text


def test_headers_beyond_reading_do_not_stop_a_mail(world):
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=10) as client:
        for header in (
            b"Subject: =?nope?Q?=FF?=",
            b"Subject: \xff\xfe",
            b"Message-ID: <[",
            b"To: ,,;:@<",
            b"\xff",
        ):
            body = b"Content-Type: text/plain; charset=klingon\r\n\r\nqapla\xff"
            client.sendmail("a@example.org", ["b@example.org"], header + b"\r\n" + body)
    assert world.counts() == {("mail", "mail", ""): 5}
    pages = world.page("/").split('href="/mails/')[1:]
    assert len(pages) == 5
    for page in pages:
        assert "qapla" in world.page(f"/mails/{page.split('/')[0]}/")


def test_the_inbox_finds_by_address_and_turns_pages(world):
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=10) as client:
        for number in range(60):
            client.send_message(receipt(str(number), f"Receipt {number}.", f"buyer{number}@example.org"))
    first, second = world.page("/"), world.page("/?page=2")
    assert "60 messages" in first
    assert first.index("Receipt 59.") < first.index("Receipt 58.")
    assert "Receipt 9." not in first
    assert "Receipt 9." in second
    found = world.page("/?q=buyer7@")
    assert "Receipt 7." in found
    assert found.count('href="/mails/') == 1
    assert world.page("/?q=%25").count('href="/mails/') == 0
    for junk in ("0", "-1", "x", "9" * 30):
        assert "Receipt 59." in world.page(f"/?page={junk}")


def test_the_mails_of_one_order_are_forgotten_and_still_count(world):
    for number in ("1001", "1002"):
        mail = receipt(number, f"Of {number}")
        mail["X-Order"] = number
        world.send(mail)
    for _ in range(2):
        assert world.call("POST", "/mail/erasures", {"order": "1001"}) == (200, {"status": "erased"})
    with sqlite3.connect(world.var / "partners.sqlite") as store:
        assert [row[0] for row in store.execute("SELECT subject FROM mails")] == ["Of 1002"]
    assert world.counts()["mail", "receipt", "receipt:1001"] == 1


def test_a_forgotten_shipment_still_counts_and_is_not_repeated(world):
    assert world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")[0] == 201
    assert world.call("POST", "/warehouse/erasures", {"order": "1001"})[0] == 200
    with sqlite3.connect(world.var / "partners.sqlite") as store:
        assert store.execute("SELECT fingerprint FROM answers WHERE partner = 'warehouse'").fetchall() == [("",)]
    assert world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")[0] == 422
    assert world.counts() == {("warehouse", "shipment", "shipment:1001"): 1}


def test_only_partners_that_hold_a_person_forget_one(world):
    assert world.call("POST", "/fraud/erasures", {"order": "1001"})[0] == 404
    assert world.call("POST", "/mail/erasures", {"address": "x@example.com"})[0] == 422
    world.fault("mail", status=500)
    assert world.call("POST", "/mail/erasures", {"order": "1001"})[0] == 500


def test_a_store_of_the_time_before_erasures_is_read(tmp_path):
    with sqlite3.connect(tmp_path / "partners.sqlite") as old:
        old.execute("CREATE TABLE mails (id INTEGER PRIMARY KEY, at, sender, recipients, subject, size, raw)")
    for _ in range(2):
        assert Store(tmp_path / "partners.sqlite").execute("SELECT order_number FROM mails").fetchall() == []


def test_an_old_mail_loses_its_content_and_still_counts(world):
    world.send(receipt())
    old = newest(world)
    with sqlite3.connect(world.var / "partners.sqlite") as store:  # as if 4,999 mails came in between
        store.execute("UPDATE sqlite_sequence SET seq = seq + 4999 WHERE name = 'mails'")
    world.send(receipt())
    assert "content was deleted" in world.page(f"/mails/{old}/")
    assert "Thank you" in world.page(f"/mails/{newest(world)}/")
    assert world.counts() == {("mail", "receipt", "receipt:1001"): 2}


@pytest.mark.parametrize("switch", [{"error_rate": 1}, {"accept_then_fail": True}, {"status": 554}])
def test_the_mail_server_fails_as_its_faults_say(world, switch):
    world.fault("mail", **switch)
    with pytest.raises(smtplib.SMTPDataError) as error:
        world.send(receipt())
    assert error.value.smtp_code == switch.get("status", 451)
    kept = {("mail", "receipt", "receipt:1001"): 1} if "accept_then_fail" in switch else {}
    assert world.counts() == kept


def test_a_slow_mail_server_takes_its_time(world):
    world.fault("mail", latency_ms=400)
    began = time.monotonic()
    world.send(receipt())
    assert time.monotonic() - began >= 0.4


def test_a_mail_server_may_trickle_truncate_or_send_garbage(world):
    world.fault("mail", trickle_ms=50)
    began = time.monotonic()
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=10):
        assert time.monotonic() - began > 1
        world.fault("mail")
    for switch, code in (("garbage", -1), ("truncate", 25)):
        world.fault("mail", **{switch: True})
        with pytest.raises(smtplib.SMTPDataError) as error:
            world.send(receipt())
        assert error.value.smtp_code == code
    assert world.counts() == {("mail", "receipt", "receipt:1001"): 2}


def test_a_hanging_mail_server_never_answers(world):
    world.fault("mail", hang=True)
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        world.send(receipt(), timeout=0.5)
    assert world.effects() == []


def test_a_mail_server_that_is_down_closes_the_connection(world):
    with smtplib.SMTP("127.0.0.1", world.smtp, timeout=10) as client:
        world.fault("mail", down=True)
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
            world.send(receipt())
        with pytest.raises(smtplib.SMTPResponseException) as error:  # on a connection made before
            client.send_message(receipt())
        assert error.value.smtp_code == 421
    assert world.effects() == []


# The pages


def test_the_page_shows_effects_and_its_forms_set_and_heal(world):
    world.call("POST", "/fraud/reviews", REVIEW, "fraud:1001")
    form = {"latency_ms": "20", "error_rate": "0.25", "status": "503", "hang": "on"}
    origin = {"Origin": f"http://127.0.0.1:{world.http}", "Content-Type": "application/x-www-form-urlencoded"}
    assert world.call("POST", "/desk/payments", urlencode(form).encode(), headers=origin)[0] == 303
    expected = HEALTHY | {"latency_ms": 20, "error_rate": 0.25, "status": 503, "hang": True}
    assert world.call("GET", "/faults/payments")[1] == expected
    page = world.call("GET", "/")[1]
    assert "<code>fraud:1001</code>" in page
    assert 'value="503"' in page
    assert "<code>fraud:1001</code>" not in world.call("GET", "/?order=1002")[1]
    assert world.call("POST", "/desk/payments", b"heal=yes", headers=origin)[0] == 303
    assert world.call("GET", "/faults/payments")[1] == HEALTHY
    assert world.call("POST", "/desk/payments", b"latency_ms=abc", headers=origin)[0] == 422
    assert world.call("POST", "/desk/reset", b"", headers=origin)[0] == 303
    assert world.effects() == []


# The process


def test_effects_and_answers_outlive_the_process_and_faults_do_not(tmp_path):
    world = World(tmp_path)
    world.start()
    answer = world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001")
    world.send(receipt())
    world.fault("warehouse", down=True)
    world.stop(signal.SIGKILL)
    world.start()
    try:
        assert world.call("POST", "/warehouse/shipments", SHIPMENT, "shipment:1001") == answer
        assert set(world.counts().values()) == {1}
        assert len(world.counts()) == 2
        assert "Your receipt" in world.page("/")
    finally:
        world.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_soon_whatever_hangs(tmp_path, number):
    world = World(tmp_path)
    world.start()
    world.fault("fraud", hang=True)
    open_mail = smtplib.SMTP("127.0.0.1", world.smtp, timeout=10)
    with socket.create_connection(("127.0.0.1", world.http)) as hanging:
        hanging.sendall(b"POST /fraud/reviews HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        while world.call("GET", "/traffic")[1]["fraud"]["requests"] == 0:
            time.sleep(0.02)
        began = time.monotonic()
        assert world.stop(number) == 0
        assert time.monotonic() - began < 10  # a second where no other process needs the CPU
    open_mail.close()


@pytest.mark.parametrize("variable", ["PARTNERS_PORT", "MAIL_PORT", "SMTP_PORT"])
@pytest.mark.parametrize(("value", "word"), [("taken", "is taken"), ("http", "must be a port"), ("70000", "must be")])
def test_a_port_that_can_not_be_had_is_named(tmp_path, variable, value, word):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1]) if value == "taken" else value
        result = refused_start(World(tmp_path), **{variable: port})
    assert result.startswith(variable)
    assert word in result


def test_a_folder_that_can_not_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert refused_start(World(tmp_path / "file")).startswith("BACKROOM_VAR: ")
    (tmp_path / "partners.sqlite").write_text("no database, just a long enough text" * 100)
    assert refused_start(World(tmp_path)).startswith("BACKROOM_VAR: ")


def refused_start(world: World, **changes: str) -> str:
    """The one line that it prints when it can't start."""
    result = subprocess.run(
        [sys.executable, "-m", "partners"],
        cwd=ROOT,
        env=world.environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr
