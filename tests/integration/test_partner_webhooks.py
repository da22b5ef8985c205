"""The partners' webhooks: signed, sent again until the shop accepts them, and wrong in each way that a fault names.

A real `python -m partners` posts to a receiver in the test. On a busy machine an answer may come too late, and the
event again. So a test counts no copies but the least number.
"""

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.integration.partners_world import SHIPMENT, World, receipt
from tests.waiting import until

SMS = {"to": "+353861234567", "text": "Your order was shipped"}


class Receiver(ThreadingHTTPServer):
    """A shop that keeps each webhook and answers with `status`, once `open` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.open, self.taken = 204, threading.Event(), []
        self.open.set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """Silence: a partner gives a slow answer up."""

    def of(self, subject: str) -> list[SimpleNamespace]:
        """What came about one thing: an order, a message or an address."""
        return [each for each in list(self.taken) if subject in each.event["data"].values()]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        partner = self.path.removeprefix("/webhooks/")
        try:
            Webhook(os.environ[f"{partner.upper()}_WEBHOOK_SECRET"]).verify(raw, dict(self.headers))
            genuine = True
        except WebhookVerificationError:
            genuine = False
        event, id = json.loads(raw), self.headers["webhook-id"]
        self.server.taken.append(SimpleNamespace(partner=partner, id=id, event=event, genuine=genuine))
        self.server.open.wait(60)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, daemon=True)
        thread.start()
        yield receiver
        receiver.open.set()
        receiver.shutdown()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("partners"))
    world.start()
    yield world
    assert world.stop() == 0


@pytest.fixture
def world(running, receiver) -> World:
    assert running.call("POST", "/reset")[0] == 200
    assert running.call("PUT", "/webhooks", {"url": receiver.url})[0] == 200
    return running


def pending(world) -> list[dict]:
    return world.call("GET", "/webhooks")[1]["webhooks"]


def ship(world, order: str = "1001") -> str:
    """Request a shipment. Returns its tracking number."""
    return world.call("POST", "/warehouse/shipments", SHIPMENT | {"order": order}, f"shipment:{order}")[1]["tracking"]


def report(world, kind: str, order: str = "1001", **more: str) -> str:
    """Send an event of a shipment. Returns its id."""
    path = f"/warehouse/shipments/{order}/events"
    status, answer = world.call("POST", path, {"type": f"shipment.{kind}", **more})
    assert status == 202
    return answer["id"]


def test_an_event_is_signed_and_dated(world, receiver):
    tracking = ship(world)
    id = report(world, "shipped")
    until(lambda: receiver.taken and not pending(world))
    one = receiver.taken[0]
    assert (one.partner, one.id, one.genuine) == ("warehouse", id, True)
    assert one.event["type"] == "shipment.shipped"
    assert one.event["data"] == {"order": "1001", "tracking": tracking}
    assert datetime.fromisoformat(one.event["timestamp"]).tzinfo


def test_an_event_of_years_ago_has_its_own_date_and_todays_signature(world, receiver):
    ship(world)
    report(world, "delivered", at="2019-03-01T10:00:00Z")
    until(lambda: receiver.taken)
    assert receiver.taken[0].genuine  # a signature of another time would be refused
    assert receiver.taken[0].event["timestamp"] == "2019-03-01T10:00:00.000+00:00"


def test_only_a_shipment_has_events_and_only_known_ones(world):
    path = "/warehouse/shipments/1001/events"
    assert world.call("POST", path, {"type": "shipment.shipped"})[0] == 404
    ship(world)
    assert world.call("POST", path, {"type": "shipment.lost"})[0] == 422
    assert world.call("POST", path, {"type": "shipment.shipped", "at": "yesterday"})[0] == 422
    assert pending(world) == []


PAYMENTS = "/payments/authorizations"
CHARGE = {"order": "1001", "amount": "12.40", "currency": "EUR", "card": "demo-approve"}


def test_nothing_is_reported_by_itself_unless_the_environment_says_after_how_many_seconds(world, receiver, tmp_path):
    ship(world)
    world.call("POST", PAYMENTS, CHARGE, "payment:1001")
    assert pending(world) == []
    other = World(tmp_path)
    other.start(SHIPS_AFTER="0", DELIVERS_AFTER="1", PAYMENTS_AFTER="0", WEBHOOKS_URL=receiver.url)
    try:
        for _ in range(2):  # the same keys again: no second events
            ship(other)
            assert other.call("POST", PAYMENTS, CHARGE, "payment:1001")[0] == 201
            for step in ("capture", "refund"):
                assert other.call("POST", f"{PAYMENTS}/payment:1001/{step}", {}, f"{step}:1001")[0] == 200
        until(lambda: not pending(other))
        assert {each.event["type"] for each in receiver.taken} == {
            "shipment.shipped", "shipment.delivered", "payment.authorized", "payment.captured", "payment.refunded",
        }  # fmt: skip
        assert len({each.id for each in receiver.taken}) == 5
        slow = CHARGE | {"order": "1002", "card": "demo-slow"}
        with pytest.raises(TimeoutError):
            other.call("POST", PAYMENTS, slow, "payment:1002", timeout=0.3)
        assert [(each["type"], each["subject"]) for each in pending(other)] == [("payment.authorized", "1002")]
        other.call("POST", f"{PAYMENTS}/payment:1002/void", {}, "void:1002")
        assert pending(other) == []
    finally:
        other.stop()


def test_the_gateway_reports_a_payment_at_will(world, receiver):
    world.call("POST", PAYMENTS, CHARGE, "payment:1001")
    path = f"{PAYMENTS}/payment:1001/events"
    id = world.call("POST", path, {"type": "payment.captured", "at": "2019-03-01T10:00:00Z"})[1]["id"]
    until(lambda: receiver.taken)
    (one,) = receiver.taken[:1]
    assert (one.partner, one.id, one.genuine, one.event["data"]["order"]) == ("payments", id, True, "1001")
    assert one.event["timestamp"] == "2019-03-01T10:00:00.000+00:00"
    assert world.call("POST", f"{PAYMENTS}/payment:7/events", {"type": "payment.captured"})[0] == 404


def test_a_refused_event_is_sent_again_and_survives_the_process(tmp_path, receiver):
    receiver.status = 500
    world = World(tmp_path)
    world.start(WEBHOOKS_URL=receiver.url)
    ship(world)
    id = report(world, "shipped")
    until(lambda: len(receiver.taken) >= 2)
    until(lambda: pending(world)[0]["error"] == "The shop answered 500")
    page = world.call("GET", "/")[1]
    assert "Pending webhooks" in page
    assert "The shop answered 500" in page
    world.stop(signal.SIGKILL)
    receiver.status, before = 200, len(receiver.taken)
    world.start(WEBHOOKS_URL=receiver.url)
    try:
        until(lambda: not pending(world))
        assert {each.id for each in receiver.taken[before:]} == {id}
        assert "Pending webhooks" not in world.call("GET", "/")[1]
    finally:
        world.stop()


def test_an_event_that_is_refused_for_days_is_given_up(world, receiver):
    receiver.status = 500
    ship(world)
    report(world, "shipped")
    until(lambda: receiver.taken)
    with sqlite3.connect(world.var / "partners.sqlite", timeout=60) as store:
        store.execute("UPDATE webhooks SET since = since - 3 * 86400")
    until(lambda: not pending(world))


@pytest.mark.parametrize("status", [301, 410])
def test_all_but_2xx_is_no_acceptance(world, receiver, status):
    receiver.status = status
    ship(world)
    report(world, "shipped")
    until(lambda: any(each["error"] for each in pending(world)))
    receiver.status = 202
    until(lambda: not pending(world))


def test_a_hung_shop_holds_up_no_request_and_loses_no_event(world, receiver):
    receiver.open.clear()
    ship(world)
    ids = {report(world, "shipped") for _ in range(25)}  # more than are sent at once
    until(lambda: len(receiver.taken) >= 10)
    for number in range(20):
        assert world.call("POST", "/sms/messages", SMS, f"shipped:{number}")[0] == 201
    receiver.open.set()
    until(lambda: not pending(world))
    assert ids <= {each.id for each in receiver.taken}


def test_a_repeated_event_comes_three_times_with_one_id(world, receiver):
    world.fault("warehouse", webhook_repeat=True)
    ship(world)
    id = report(world, "shipped")
    until(lambda: not pending(world))
    assert len(receiver.taken) >= 3
    assert {each.id for each in receiver.taken} == {id}


def test_a_reordered_event_comes_after_the_later_one(world, receiver):
    world.fault("warehouse", webhook_reorder=True)
    ship(world, "1001")
    report(world, "shipped")
    report(world, "delivered")
    until(lambda: not pending(world))
    kinds = [each.event["type"] for each in receiver.taken]
    assert (kinds[0], kinds[-1]) == ("shipment.delivered", "shipment.shipped")


def test_a_forged_event_comes_first_with_the_true_ones_id(world, receiver):
    world.fault("warehouse", webhook_forge=True)
    ship(world)
    id = report(world, "shipped")
    until(lambda: not pending(world))
    first, last = receiver.taken[0], receiver.taken[-1]
    assert ((first.id, first.genuine), (last.id, last.genuine)) == ((id, False), (id, True))
    assert first.event["timestamp"] != last.event["timestamp"]


def test_a_reset_forgets_pending_events(world, receiver):
    receiver.status = 500
    ship(world)
    report(world, "shipped")
    until(lambda: receiver.taken)
    assert world.call("POST", "/reset")[0] == 200
    assert pending(world) == []


def test_a_partner_without_a_secret_sends_nothing(tmp_path, receiver):
    world = World(tmp_path)
    world.start(WAREHOUSE_WEBHOOK_SECRET="", SHIPS_AFTER="0", WEBHOOKS_URL=receiver.url)
    try:
        ship(world)
        assert world.call("POST", "/warehouse/shipments/1001/events", {"type": "shipment.shipped"})[0] == 409
        assert pending(world) == []
    finally:
        world.stop()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://shop/path", "shop:8000"])
def test_webhooks_go_to_an_address_only(world, url):
    assert world.call("PUT", "/webhooks", {"url": url})[0] == 422


def test_an_accepted_sms_is_reported_later(world, receiver):
    delivered = world.call("POST", "/sms/messages", SMS, "shipped:1001")[1]["id"]
    failed = world.call("POST", "/sms/messages", SMS | {"to": "+353861231111"}, "shipped:1002")[1]["id"]
    until(lambda: receiver.of(delivered) and receiver.of(failed))
    for id, kind, key in (
        (delivered, "message.delivered", "shipped:1001"),
        (failed, "message.failed", "shipped:1002"),
    ):
        one = receiver.of(id)[0]
        assert (one.partner, one.genuine, one.event["type"]) == ("sms", True, kind)
        assert one.event["data"]["key"] == key
        assert bool(one.event["data"]["reason"]) == (kind == "message.failed")


def test_a_mailbox_that_does_not_exist_bounces_and_another_does_not(world, receiver):
    world.send(receipt("1001"))
    world.send(receipt("1002", to="Bounced.Box@example.org"))
    until(lambda: receiver.taken and not pending(world))
    assert len({each.id for each in receiver.taken}) == 1
    one = receiver.taken[0]
    assert (one.partner, one.genuine, one.event["type"]) == ("mail", True, "mail.bounced")
    assert one.event["data"]["message_id"] == "<receipt.1002@backroom.example>"
    assert one.event["data"]["address"] == "Bounced.Box@example.org"
    assert one.event["data"]["reason"].startswith("550 ")


def test_the_form_of_a_partner_sets_the_faults_of_its_webhooks(world):
    origin = {"Origin": f"http://127.0.0.1:{world.http}", "Content-Type": "application/x-www-form-urlencoded"}
    form = urlencode({"webhook_repeat": "on"}).encode()
    assert world.call("POST", "/desk/warehouse", form, headers=origin)[0] == 303
    assert world.call("GET", "/faults/warehouse")[1]["webhook_repeat"] is True
    page = world.call("GET", "/")[1]
    assert page.count('name="webhook_repeat"') == 4  # of those that send webhooks
