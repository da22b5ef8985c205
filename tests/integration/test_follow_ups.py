"""The follow-ups of a paid order, run as jobs on the real ledger against the real partners."""

import json
import random
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
import urllib3
from celery import current_app
from celery.exceptions import Ignore, Retry
from django.db import connection, transaction
from pypdf import PdfReader

from catalog.models import BoughtTogether, Category, Product
from jobs import Permanent, worker
from jobs.ledger import rows
from jobs.models import Job, State
from orders import tasks
from orders.models import Invoice, LoyaltyAccount, Order, Status
from tests.conftest import until
from tests.integration import mailbox as smtp

pytestmark = pytest.mark.django_db
TIMES = "\N{MULTIPLICATION SIGN}"
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
        "email": "Lucja@example.com",
        "name": "Łucja Święta",
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


def job_of(task, *args) -> Job:
    """The job of this call, after one attempt at running it as a worker does."""
    id = task.enqueue(*args)
    with suppress(Retry, Permanent):
        perform(id)
    return Job.objects.get(pk=id)


def perform(id: str) -> None:
    """One attempt at running a job. Raises what Celery is told."""
    worker.perform(current_app.tasks[Job.objects.get(pk=id).task], id)


def again(job: Job) -> Job:
    """The same job after one more attempt: as if its time had come, and a message of it arrived."""
    Job.objects.filter(pk=job.pk, state=State.WAITING).update(state=State.READY)
    with suppress(Retry, Permanent):
        perform(str(job.pk))
    return Job.objects.get(pk=job.pk)


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


def test_the_invoice_is_of_this_order_and_its_tax_adds_up():
    order = paid_order("apples", "pears")
    order.lines.create(
        product=product("wine"), name="Wine", unit="bottle", unit_price="10.00", vat_rate="20.00", quantity=1
    )
    assert job_of(tasks.make_invoice, order.number).state == State.SUCCEEDED
    (page,) = PdfReader(BytesIO(Invoice.objects.get(order=order).pdf)).pages
    text = page.extract_text()
    for part in ("Łucja Święta", "81-368 Gdynia", str(order.number), "22 November 2026", "Apples", "Pears", "Wine",
                 "5 % 9.14 0.46 9.60", "20 % 8.33 1.67 10.00", "Total 17.47 2.13 19.60"):  # fmt: skip
        assert part in text, f"{part} not in {text}"


def test_a_second_run_of_make_invoice_keeps_the_first_invoice():
    order = paid_order()
    Invoice.objects.create(order=order, pdf=b"the first")
    assert job_of(tasks.make_invoice, order.number).state == State.SUCCEEDED
    assert bytes(Invoice.objects.get(order=order).pdf) == b"the first"


def test_an_order_that_was_never_paid_gets_no_invoice_and_a_dead_letter():
    order = paid_order(status=Status.PLACED, paid_at=None)
    assert job_of(tasks.make_invoice, order.number).state == State.DEAD
    assert not Invoice.objects.exists()


def test_the_receipt_carries_the_invoice_and_the_way_to_the_order(mailbox, settings):
    order = paid_order("apples", "pears")
    job_of(tasks.make_invoice, order.number)
    assert job_of(tasks.mail_receipt, order.number).state == State.SUCCEEDED
    (mail,) = mailbox.mails
    assert mail["To"] == "Lucja@example.com"
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content()
        for part in ("Łucja Święta", f"2 {TIMES} Apples", "€9.60", "€0.46", "5 %",
                     f"{settings.SITE_URL}/orders/{order.number}/?token={order.token}"):  # fmt: skip
            assert part in text, f"{part} not in {text}"
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == f"invoice-{order.number}.pdf"
    assert attachment.get_content() == bytes(Invoice.objects.get(order=order).pdf)


def test_the_partners_count_a_receipt_under_its_key(partners):
    order = paid_order()
    job_of(tasks.make_invoice, order.number)
    assert job_of(tasks.mail_receipt, order.number).state == State.SUCCEEDED
    assert effects(partners, order) == {f"receipt:{order.number}": 1}


def test_a_receipt_waits_for_its_invoice_and_for_the_mail_server(partners):
    order = paid_order()
    assert job_of(tasks.mail_receipt, order.number).state == State.WAITING
    later = paid_order()
    job_of(tasks.make_invoice, later.number)
    switch(partners, "mail", down=True)
    job = job_of(tasks.mail_receipt, later.number)
    assert (job.state, job.attempts) == (State.WAITING, 1)
    assert job.error.startswith("MailUnavailable:")


def test_a_dear_order_is_put_on_hold_and_a_cheap_one_is_not(partners):
    dear, cheap = paid_order(total="300.00"), paid_order(total="299.99")
    for order in (dear, cheap):
        assert job_of(tasks.review_fraud, order.number).state == State.SUCCEEDED
        assert effects(partners, order) == {f"fraud:{order.number}": 1}
    dear.refresh_from_db()
    cheap.refresh_from_db()
    assert (dear.status, cheap.status) == (Status.ON_HOLD, Status.PAID)


def test_a_verdict_that_comes_after_the_order_was_cancelled_changes_nothing(partners):
    order = paid_order(total="300.00", status=Status.CANCELLED)
    job_of(tasks.review_fraud, order.number)
    order.refresh_from_db()
    assert order.status == Status.CANCELLED


def test_an_order_on_hold_is_not_shipped_until_a_person_releases_it(partners):
    order = paid_order(status=Status.ON_HOLD)
    job = job_of(tasks.request_shipment, order.number)
    assert (job.state, job.attempts) == (State.WAITING, 0)
    assert "the order is on hold" in job.error
    assert timedelta(minutes=59) < job.run_at - job.created_at < timedelta(minutes=61)
    assert effects(partners, order) == {}
    Order.objects.filter(number=order.number).update(status=Status.PAID)
    assert again(job).state == State.SUCCEEDED
    assert effects(partners, order) == {f"shipment:{order.number}": 1}


@pytest.mark.parametrize("status", [Status.PLACED, Status.DECLINED, Status.CANCELLED])
def test_what_is_not_paid_is_never_shipped(partners, status):
    order = paid_order(status=status)
    job = job_of(tasks.request_shipment, order.number)
    assert (job.state, job.attempts) == (State.DEAD, 1)
    assert effects(partners, order) == {}


@pytest.mark.parametrize(
    ("task", "partner", "key"),
    [
        (tasks.request_shipment, "warehouse", "shipment"),
        (tasks.review_fraud, "fraud", "fraud"),
        (tasks.send_analytics, "analytics", "analytics"),
    ],
)
def test_a_partner_that_did_the_work_but_said_it_failed_does_it_once(partners, task, partner, key):
    order = paid_order()
    switch(partners, partner, accept_then_fail=True)
    job = job_of(task, order.number)
    assert job.state == State.WAITING
    switch(partners, partner)
    assert again(job).state == State.SUCCEEDED
    assert effects(partners, order) == {f"{key}:{order.number}": 1}


def test_a_partner_that_refuses_makes_a_dead_letter_at_once(partners):
    order = paid_order()
    switch(partners, "warehouse", status=422, error_rate=1)
    job = job_of(tasks.request_shipment, order.number)
    assert (job.state, job.attempts) == (State.DEAD, 1)


class Listener(BaseHTTPRequestHandler):
    """Keeps what it is told, headers and body, in `heard`."""

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


def test_analytics_learns_nothing_about_the_person(settings):
    order = paid_order("apples", "pears")
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        settings.PARTNERS_URL = f"http://127.0.0.1:{server.server_port}"
        assert job_of(tasks.send_analytics, order.number).state == State.SUCCEEDED
    (heard,) = Listener.heard
    event = {"event": "order_paid", "order": str(order.number), "amount": "9.60", "currency": "EUR", "items": 4}
    assert json.loads(heard.splitlines()[-1]) == event
    for secret in (order.email, "ucja", "wi", "Gdynia", "81-368", order.token):
        assert secret not in heard


def test_points_are_the_whole_euros_and_a_second_delivery_adds_none():
    order = paid_order(total="12.99")
    job = job_of(tasks.add_loyalty_points, order.number)
    with pytest.raises(Ignore):
        perform(str(job.pk))
    job_of(tasks.add_loyalty_points, paid_order(total="7.50", email="lucja@EXAMPLE.com").number)
    (account,) = LoyaltyAccount.objects.all()
    assert (account.email, account.points) == ("lucja@example.com", 19)


def counts() -> dict[tuple[str, str], int]:
    return {(pair.product.slug, pair.other.slug): pair.count for pair in BoughtTogether.objects.all()}


def test_pairs_are_counted_in_both_directions_and_once_for_each_order():
    order = paid_order("apples", "pears", "plums")
    job = job_of(tasks.update_recommendations, order.number)
    with pytest.raises(Ignore):
        perform(str(job.pk))
    job_of(tasks.update_recommendations, paid_order("pears", "apples").number)
    job_of(tasks.update_recommendations, paid_order("apples").number)
    assert counts() == {
        ("apples", "pears"): 2,
        ("pears", "apples"): 2,
        ("apples", "plums"): 1,
        ("plums", "apples"): 1,
        ("pears", "plums"): 1,
        ("plums", "pears"): 1,
    }


def all_at_once(calls: list) -> list[Exception]:
    """Run each call in a thread of its own, with its own connection, from one starting line; what they raised."""
    line, raised = threading.Barrier(len(calls)), []

    def run(call) -> None:
        line.wait()
        try:
            call()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.django_db(transaction=True)
def test_points_of_a_worker_that_finishes_too_late_are_rolled_back():
    account = LoyaltyAccount.objects.create(email="lucja@example.com", points=5)
    id = tasks.add_loyalty_points.enqueue(paid_order(total="12.99").number)
    late: list[Exception] = []
    worker_thread = threading.Thread(target=lambda: late.extend(all_at_once([lambda: perform(id)])))
    with transaction.atomic():
        LoyaltyAccount.objects.select_for_update().get(pk=account.pk)  # the worker gets as far as its UPDATE
        worker_thread.start()
        until(lambda: rows("SELECT 1 FROM pg_locks WHERE NOT granted"), what="the worker waits for the account")
        Job.objects.filter(pk=id).update(state=State.WAITING)  # as a rescue does with a job of a silent worker
    worker_thread.join()
    assert [type(error) for error in late] == [Ignore]
    account.refresh_from_db()
    assert account.points == 5


@pytest.mark.django_db(transaction=True)
def test_orders_of_one_customer_at_the_same_time_all_earn_their_points():
    ids = [tasks.add_loyalty_points.enqueue(paid_order(total="10.00").number) for _ in range(8)]
    assert all_at_once([partial(perform, id) for id in ids]) == []
    assert LoyaltyAccount.objects.get().points == 80


@pytest.mark.django_db(transaction=True)
def test_orders_with_pairs_in_common_at_the_same_time_do_not_lock_each_other_out():
    slugs = [f"fruit-{i}" for i in range(12)]
    ids = []
    for seed in range(8):
        mixed = random.Random(seed).sample(slugs, len(slugs))
        ids.append(tasks.update_recommendations.enqueue(paid_order(*mixed).number))
    assert all_at_once([partial(perform, id) for id in ids]) == []
    assert set(counts().values()) == {8}


def test_the_sales_report_counts_one_day_and_names_what_waits_for_a_person(mailbox, settings):
    paid_order("apples", "pears")
    paid_order("apples", status=Status.ON_HOLD)
    paid_order("plums", paid_at=PAID_AT.replace(hour=0, minute=0) - timedelta(microseconds=1))
    paid_order("plums", paid_at=PAID_AT.replace(hour=0, minute=0) + timedelta(days=1))
    paid_order("plums", status=Status.CANCELLED)
    unpaid = paid_order("figs", status=Status.CANCELLED, paid_at=None)
    job_of(tasks.make_invoice, unpaid.number)
    assert job_of(tasks.mail_sales_report, "2026-11-22").state == State.SUCCEEDED
    (mail,) = mailbox.mails
    assert mail["To"] == settings.STAFF_EMAIL
    assert mail["Message-ID"] == "<sales-report.2026-11-22@backroom.example>"
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    for part in ("Sunday, 22 November 2026", "Orders paid 2", "Revenue €14.40", "On hold 1",
                 "VAT 5 %: net €13.71, VAT €0.69, gross €14.40",
                 f"4 {TIMES} Apples (kg): €9.60", f"2 {TIMES} Pears (kg): €4.80",
                 f"1 {TIMES} orders.make_invoice"):  # fmt: skip
        assert part in text, f"{part} not in {text}"
    assert "Plums" not in text
    assert "€14.40" in mail.get_body(("html",)).get_content()


def test_the_sales_report_is_of_yesterday_unless_told_otherwise(mailbox):
    job_of(tasks.mail_sales_report)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert mailbox.mails[0]["Message-ID"] == f"<sales-report.{yesterday}@backroom.example>"


def test_tasks_keep_their_names_when_a_module_is_renamed():
    names = {name for name in current_app.tasks if name.startswith("orders.")}
    verbs = "make_invoice mail_receipt review_fraud request_shipment send_analytics add_loyalty_points"
    assert {f"orders.{verb}" for verb in verbs.split()} <= names
