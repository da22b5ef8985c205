"""The follow-ups of a paid order, run as jobs on the real ledger against the real partners."""

import json
import re
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
import urllib3
from celery import current_app
from pypdf import PdfReader

from backroom.ledger.models import State
from orders.fulfilment import analytics, fraud, warehouse
from orders.models import Invoice, Order, Status
from tests.integration import mailbox as smtp
from tests.integration.paid_orders import again, job_of, paid_order, product

pytestmark = pytest.mark.django_db
TIMES = "\N{MULTIPLICATION SIGN}"


def effects(partners: str, order: Order) -> dict[str, int]:
    """What really happened outside for an order: how often, by key."""
    found = urllib3.request("GET", f"{partners}/effects?order={order.number}").json()["effects"]
    return {effect["key"]: effect["count"] for effect in found}


def switch(partners: str, partner: str, **faults) -> None:
    assert urllib3.request("PUT", f"{partners}/faults/{partner}", json=faults).status == 200


@pytest.fixture
def mailbox(settings):
    with smtp.serving(settings) as mailbox:
        yield mailbox


def test_the_invoice_is_of_this_order_and_its_tax_adds_up_with_the_deliverys():
    order = paid_order("apples", "pears", delivery="9.90")
    order.lines.create(
        product=product("wine"), name="Wine", unit="bottle", unit_price="10.00", vat_rate="20.00", quantity=1
    )
    assert job_of("invoice", order.number).state == State.SUCCEEDED
    invoice = Invoice.objects.get(order=order)
    (page,) = PdfReader(BytesIO(invoice.pdf)).pages
    text = page.extract_text()
    for part in ("Kawiarnia Łąka", "81-368 Gdynia", str(order.number), f"{invoice.created_at:%-d %B %Y}",
                 "Apples", "Pears", "Wine", "Delivery €9.90 / order 1 20 % €9.90",
                 "5 % €9.14 €0.46 €9.60", "20 % €16.58 €3.32 €19.90", "Total €25.72 €3.78 €29.50"):  # fmt: skip
        assert part in text, f"{part} not in {text}"


def test_a_second_run_of_make_invoice_keeps_the_first_invoice():
    order = paid_order()
    Invoice.objects.create(order=order, pdf=b"the first")
    assert job_of("invoice", order.number).state == State.SUCCEEDED
    assert bytes(Invoice.objects.get(order=order).pdf) == b"the first"


def test_an_order_that_was_never_paid_gets_no_invoice_and_a_dead_letter():
    order = paid_order(status=Status.PLACED, paid_at=None)
    assert job_of("invoice", order.number).state == State.DEAD
    assert not Invoice.objects.exists()


def test_the_receipt_carries_the_invoice_and_the_way_to_the_order(mailbox, settings):
    order = paid_order("apples", "pears", delivery="4.90", total="14.50", arrives_on="2026-11-23")
    job_of("invoice", order.number)
    assert job_of("receipt", order.number).state == State.SUCCEEDED
    (mail,) = mailbox.mails
    assert mail["To"] == "Kawiarnia@example.com"
    for kind in ("plain", "html"):
        text = re.sub("</?bdi>", "", mail.get_body((kind,)).get_content())
        for part in ("Kawiarnia Łąka", f"2 {TIMES} Apples", "€4.80", "€0.46", "5 %", "Delivery", "€4.90",
                     "expected by Monday, 23 November", "€14.50", "€0.82", "20 %",
                     f"{settings.SITE_URL}/orders/{order.number}/?token={order.token}"):  # fmt: skip
            assert part in text, f"{part} not in {text}"
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == f"invoice-{order.number}.pdf"
    assert attachment.get_content() == bytes(Invoice.objects.get(order=order).pdf)


def test_the_longest_that_the_shop_accepts_reaches_every_partner_and_the_mailbox(partners):
    email = f"{'Q' * 64}@{'.'.join(['d' * 46] * 4)}"
    texts = {"name": "龍" * 100, "address": "龍" * 200, "city": "龍" * 100, "postcode": "龍" * 16}
    order = paid_order(email=email[:251] + ".xx", **texts)
    assert len(order.email) == 254
    order.clean_fields()
    for kind in ("invoice", "receipt", "shipment", "loyalty"):
        job = job_of(kind, order.number)
        assert job.state == State.SUCCEEDED, job.error
    assert effects(partners, order) == {f"receipt:{order.number}": 1, f"shipment:{order.number}": 1}


def test_the_partners_count_a_receipt_under_its_key(partners):
    order = paid_order()
    job_of("invoice", order.number)
    assert job_of("receipt", order.number).state == State.SUCCEEDED
    assert effects(partners, order) == {f"receipt:{order.number}": 1}


def test_a_receipt_waits_for_its_invoice_and_for_the_mail_server(partners):
    order = paid_order()
    assert job_of("receipt", order.number).state == State.WAITING
    later = paid_order()
    job_of("invoice", later.number)
    switch(partners, "mail", down=True)
    job = job_of("receipt", later.number)
    assert (job.state, job.attempts) == (State.WAITING, 0)  # no fault of this mail's
    assert job.error.startswith("Away:")


def test_a_dear_order_is_put_on_hold_and_a_cheap_one_is_not(partners):
    dear, cheap = paid_order(total="300.00"), paid_order(total="299.99")
    for order in (dear, cheap):
        assert job_of("fraud", order.number).state == State.SUCCEEDED
        assert effects(partners, order) == {f"fraud:{order.number}": 1}
    dear.refresh_from_db()
    cheap.refresh_from_db()
    assert (dear.status, cheap.status) == (Status.ON_HOLD, Status.PAID)


def test_a_verdict_that_comes_after_the_order_was_cancelled_changes_nothing(partners):
    order = paid_order(total="300.00", status=Status.CANCELLED)
    job_of("fraud", order.number)
    order.refresh_from_db()
    assert order.status == Status.CANCELLED


def test_an_order_on_hold_is_not_shipped_until_a_person_releases_it(partners):
    order = paid_order(status=Status.ON_HOLD)
    job = job_of("shipment", order.number)
    assert (job.state, job.attempts) == (State.WAITING, 0)
    assert "the order is on hold" in job.error
    assert timedelta(minutes=59) < job.run_at - job.created_at < timedelta(minutes=61)
    assert effects(partners, order) == {}
    Order.objects.filter(number=order.number).update(status=Status.PAID)
    assert again(job).state == State.SUCCEEDED
    assert effects(partners, order) == {f"shipment:{order.number}": 1}


@pytest.mark.parametrize("kind", ["capture", "shipment"])
@pytest.mark.parametrize(
    ("status", "end"),
    [(Status.PLACED, State.DEAD), (Status.DECLINED, State.DEAD), (Status.CANCELLED, State.SUCCEEDED)],
)
def test_what_is_not_paid_is_never_charged_nor_shipped(partners, kind, status, end):
    order = paid_order(status=status)
    job = job_of(kind, order.number)
    assert (job.state, job.attempts) == (end, 1)
    assert effects(partners, order) == {}


@pytest.mark.parametrize(
    ("kind", "partner"), [("shipment", "warehouse"), ("fraud", "fraud"), ("analytics", "analytics")]
)
@pytest.mark.parametrize(
    "answer", [{"accept_then_fail": True}, {"trickle_ms": 20}, {"truncate": True}, {"garbage": True}], ids=str
)
def test_a_partner_that_did_the_work_but_gave_no_good_answer_does_it_once(partners, kind, partner, answer, monkeypatch):
    order = paid_order()
    switch(partners, partner, **answer)
    with monkeypatch.context() as haste:
        for module in (analytics, fraud, warehouse):
            haste.setattr(module.partner, "timeout", urllib3.Timeout(0.5))
        job = job_of(kind, order.number)
    assert (job.state, job.attempts) == (State.WAITING, 1)
    assert effects(partners, order) == {f"{kind}:{order.number}": 1}
    switch(partners, partner)
    assert again(job).state == State.SUCCEEDED
    assert effects(partners, order) == {f"{kind}:{order.number}": 1}


def test_a_partner_that_refuses_makes_a_dead_letter_at_once(partners):
    order = paid_order()
    switch(partners, "warehouse", status=422, error_rate=1)
    job = job_of("shipment", order.number)
    assert (job.state, job.attempts) == (State.DEAD, 1)


class Listener(BaseHTTPRequestHandler):
    """Keeps the headers and body of each request in `heard`."""

    heard: list[str] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.heard.append(f"{self.path}\n{self.headers}\n{body}")
        answer = json.dumps({"status": "accepted"}).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_) -> None:
        """Say nothing."""


def test_analytics_receives_nothing_about_the_person(settings):
    order = paid_order("apples", "pears")
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        settings.BACKROOM_PARTNERS_URL = f"http://127.0.0.1:{server.server_port}"
        assert job_of("analytics", order.number).state == State.SUCCEEDED
    (heard,) = Listener.heard
    event = {"event": "order_paid", "order": str(order.number), "amount": "9.60", "currency": "EUR", "items": 4}
    assert json.loads(heard.splitlines()[-1]) == event
    for secret in (order.email, "ucja", "wi", "Gdynia", "81-368", order.token):
        assert secret not in heard


def test_tasks_keep_their_names_when_a_module_is_renamed():
    names = {name for name in current_app.tasks if name.startswith("orders.")}
    verbs = "make_invoice mail_receipt review_fraud request_shipment send_analytics add_loyalty_points"
    assert {f"orders.{verb}" for verb in verbs.split()} <= names
