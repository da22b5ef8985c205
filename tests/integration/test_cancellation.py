"""Taking an order's money and giving it back: cut at every step, and everybody at once. The gateway's records judge."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from urllib.parse import urlencode

import pytest
import urllib3
from celery.exceptions import Ignore
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.test import Client
from pypdf import PdfReader

from backroom import enqueue_all
from backroom.ledger.models import LIVE, Job, State
from backroom.ops.models import AuditEntry
from orders import payments
from orders.follow_ups import REFUND
from orders.fulfilment import capture, loyalty, warehouse
from orders.fulfilment.invoices import make_credit_note, make_invoice
from orders.models import CreditNote, Invoice, LoyaltyAccount, Order, Status
from orders.ordering import cancellation, checkout, settlement
from orders.reconciliation import audit
from tests.integration.buying import CUSTOMER, all_at_once, attempt, buy, effects, fault, product, stock_of
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]

KEPT = {"authorization": 1, "charge": 1}
LET_GO = {"authorization": 1, "void": 1}
REFUNDED = {"authorization": 1, "charge": 1, "refund": 1}
PIECES, BOUGHT = 10, 3


def money(order: Order) -> dict[str, int]:
    """What really happened to the order's money, by the gateway's own records."""
    found = effects(partner="payments", order=str(order.number))
    return {name.split()[0].removeprefix("payments/"): count for name, count in found.items()}


def shipped(order: Order) -> bool:
    return bool(effects(partner="warehouse", order=str(order.number)))


def finish(order: Order) -> None:
    """Run an order's jobs, as if their time had come, until none is left that need not wait for a person."""
    for _ in range(30):
        behind_another = Q(state=State.WAITING, run_at=None)
        due = Job.objects.filter(state__in=LIVE, args__number=order.number).exclude(behind_another)
        order.refresh_from_db()
        if order.status == Status.ON_HOLD:
            due = due.exclude(key=f"capture:{order.number}")
        if not due.exists():
            return
        for key in due.values_list("key", flat=True):
            attempt(key)
    pytest.fail(f"still alive: {list(due.values_list('key', 'state', 'error'))}")


def reserve() -> Order:
    product(stock=PIECES, price="20.00")
    return checkout.reserve(CUSTOMER, [checkout.Wanted("apples", BOUGHT)], None, "0" * 64)


def authorize(order: Order) -> None:
    payments.authorize(order.number, order.total, order.currency, "demo-approve")


def commit(order: Order) -> None:
    settlement.conclude(order.number, payments.APPROVED)


def review(order: Order) -> None:
    attempt(f"fraud:{order.number}")


def earn(order: Order) -> None:
    attempt(f"loyalty:{order.number}")


def take(order: Order) -> None:
    """The money is taken, and the worker dies before it has finished its job."""
    capture.capture(order.number)


def taken(order: Order) -> None:
    attempt(f"capture:{order.number}")


def send(order: Order) -> None:
    """The warehouse is asked, and the worker dies before it has finished its job."""
    warehouse.request_shipment(order.number)


# What happens to an order, step by step; it is cut after each.
STEPS: list[Callable[[Order], None]] = [authorize, commit, earn, review, take, taken, send]


def walked(steps: int) -> Order:
    order = reserve()
    for step in STEPS[:steps]:
        step(order)
    order.refresh_from_db()
    return order


def names(count: int) -> str:
    return "after " + (STEPS[count - 1].__name__ if count else "reserve")


@pytest.mark.parametrize("steps", range(len(STEPS) + 1), ids=names)
def test_an_order_cut_after_any_step_ends_charged_and_sent_or_not_at_all(steps):
    order = walked(steps)
    finish(order)
    order.refresh_from_db()
    if steps:
        assert (order.status, money(order), shipped(order), stock_of()) == (Status.PAID, KEPT, True, PIECES - BOUGHT)
    else:
        assert (order.status, money(order), shipped(order), stock_of()) == (Status.CANCELLED, {}, False, PIECES)
    report = audit.run()
    assert report.clean, report


@pytest.mark.parametrize("trouble", [{"accept_then_fail": True}, {"down": True}, {"status": 503}])
@pytest.mark.parametrize("job", ["capture", "refund"])
def test_a_gateway_in_trouble_takes_the_money_once_and_gives_it_back_once(job, trouble):
    order = walked(STEPS.index(review) + 1)
    if job == "refund":
        taken(order)
        cancellation.cancel(order.number)
    fault("payments", **trouble)
    assert attempt(f"{job}:{order.number}").state == State.WAITING
    fault("payments")
    finish(order)
    assert money(order) == (KEPT if job == "capture" else REFUNDED)


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1), ids=names)
@pytest.mark.parametrize("cut", ["before", "in", "after"])
def test_an_order_cancelled_after_any_step_has_its_money_back_once_whenever_the_refund_is_cut(steps, cut):
    order = walked(steps)
    assert cancellation.cancel(order.number)
    if cut == "in":
        payments.refund(order.number)  # the gateway did it, and the worker died before it wrote that down
    elif cut == "after" and steps > 1:
        capture.refund(order.number)  # it was written down, and the worker died before the job was finished
    finish(order)
    order.refresh_from_db()
    charged, sent = steps > STEPS.index(take), steps > STEPS.index(send)
    assert order.status == Status.CANCELLED
    assert money(order) == (REFUNDED if charged else LET_GO)
    assert shipped(order) == sent
    assert stock_of() == (PIECES - BOUGHT if sent else PIECES)
    assert LoyaltyAccount.objects.filter(points__gt=0).count() == 0
    assert (order.returned_at is not None) == (steps > 1), "only what was paid is given back"
    report = audit.run()
    assert report.clean, report


def test_an_order_on_hold_is_not_charged_before_a_person_releases_it():
    product(price="400.00")
    order = buy()
    finish(order)
    capture = attempt(f"capture:{order.number}")
    assert (capture.state, capture.attempts, money(order)) == (State.WAITING, 0, {"authorization": 1})
    assert audit.run().clean
    assert audit.still_busy() == 0
    assert settlement.release_hold(order.number)
    finish(order)
    assert (money(order), shipped(order)) == (KEPT, True)


def test_an_order_cancelled_on_hold_lets_go_of_the_money_and_is_never_charged():
    product(price="400.00", stock=PIECES)
    order = buy()
    finish(order)
    assert cancellation.cancel(order.number)
    assert not settlement.release_hold(order.number)
    finish(order)
    assert (money(order), shipped(order), stock_of()) == (LET_GO, False, PIECES)
    assert audit.run().clean


def test_a_review_repeated_after_a_release_does_not_put_the_order_on_hold_again():
    product(price="400.00")
    order = buy()
    attempt(f"fraud:{order.number}")
    assert settlement.release_hold(order.number)
    Job.objects.filter(key=f"fraud:{order.number}").update(state=State.READY)  # its worker died before the finish
    attempt(f"fraud:{order.number}")
    order.refresh_from_db()
    assert order.status == Status.PAID


def test_nothing_is_charged_or_sent_before_the_review():
    product()
    order = buy()
    ready = Job.objects.filter(state=State.READY, args__number=order.number).values_list("key", flat=True)
    for key in set(ready) - {f"fraud:{order.number}"}:
        attempt(key)
    assert (money(order), shipped(order)) == ({"authorization": 1}, False)


def test_money_that_is_gone_from_a_paid_order_is_a_dead_letter_and_nothing_is_sent():
    order = walked(STEPS.index(review) + 1)
    payments.void(order.number)
    assert attempt(f"capture:{order.number}").state == State.DEAD
    finish(order)
    assert not shipped(order)
    assert {row["kind"] for row in audit.run().lost} == {"authorization", "charge", "shipment"}


def test_the_money_of_an_order_that_is_sold_can_not_be_given_back_by_mistake():
    order = walked(STEPS.index(taken) + 1)
    enqueue_all(REFUND.call(order.number))
    assert attempt(f"refund:{order.number}").state == State.DEAD
    assert money(order) == KEPT


RESERVED = "€60.00 is reserved on your card. We charge it before we ship your order."
CHARGED = "€60.00 was charged to your card."
RELEASING = "€60.00 is reserved on your card, and we are releasing it."
RELEASED = "Your card was not charged. The €60.00 reserved on it is released."
REFUNDING = "€60.00 was charged to your card, and we are refunding it."
GIVEN_BACK = "€60.00 was refunded to your card."
SAID = (RESERVED, CHARGED, RELEASING, RELEASED, REFUNDING, GIVEN_BACK)


def said(client, order: Order) -> list[str]:
    """What the order's page and its mails would say of the money, which must be the same."""
    order.refresh_from_db()
    page = client.get(order.get_absolute_url()).content.decode()
    kind = "cancellation" if order.status == Status.CANCELLED else "receipt"
    mails = [render_to_string(f"orders/mail/{kind}.{suffix}", {"order": order}) for suffix in ("txt", "html")]
    (found,) = {tuple(words for words in SAID if words in text) for text in (page, *mails)}
    return list(found)


def unrecorded(order: Order) -> None:
    """The money is taken, and the worker dies before it has recorded that."""
    payments.capture(order.number)


@pytest.mark.parametrize(
    ("last", "before", "during", "after"),
    [
        (review, RESERVED, RELEASING, RELEASED),
        (unrecorded, RESERVED, RELEASING, GIVEN_BACK),
        (taken, CHARGED, REFUNDING, GIVEN_BACK),
    ],
)
def test_page_and_mails_say_reserved_charged_and_given_back_only_when_it_is_true(client, last, before, during, after):
    order = walked(STEPS.index(review))
    for step in {review: review, last: last}:
        step(order)
    assert said(client, order) == [before]
    cancellation.cancel(order.number)
    assert said(client, order) == [during]
    attempt(f"refund:{order.number}")
    assert said(client, order) == [after]
    assert money(order) == (REFUNDED if after == GIVEN_BACK else LET_GO)


def test_a_held_order_is_confirmed_as_reserved_and_under_review(client):
    product(price="60.00", slug="saffron")
    order = buy("saffron")
    attempt(f"invoice:{order.number}")
    Order.objects.filter(number=order.number).update(status=Status.ON_HOLD)
    assert said(client, order) == [RESERVED]
    invoice = PdfReader(BytesIO(Invoice.objects.get().pdf)).pages[0].extract_text()
    assert "by card, charged before shipping" in invoice
    assert "paid" not in (invoice + render_to_string("orders/mail/receipt.txt", {"order": order})).lower()


def test_an_order_cancelled_once_invoiced_gets_one_credit_note_by_one_mail(client):
    order = walked(STEPS.index(taken) + 1)
    attempt(f"invoice:{order.number}")
    assert client.get(order.credit_note_url).status_code == 404
    cancellation.cancel(order.number)
    finish(order)
    note = bytes(CreditNote.objects.get(order=order).pdf)
    text = PdfReader(BytesIO(note)).pages[0].extract_text()
    for part in ("Credit note", "CRN-1", "invoice INV-1", str(order.number), "60.00"):
        assert part in text, text
    assert client.get(order.credit_note_url).content == note
    assert order.credit_note_url.replace("&", "&amp;") in client.get(order.get_absolute_url()).content.decode()
    assert effects(partner="mail", order=str(order.number)) == {f"mail/cancellation cancellation:{order.number}": 1}
    assert audit.run().clean
    make_credit_note(order.number)  # its job again
    assert bytes(CreditNote.objects.get(order=order).pdf) == note


@pytest.mark.django_db(transaction=True)
def test_an_invoice_and_a_cancellation_at_once_leave_both_documents_or_none():
    product(stock=99)
    for _ in range(6):
        order = buy()
        errors = all_at_once(
            lambda number=order.number: attempt(f"invoice:{number}"),
            lambda number=order.number: cancellation.cancel(number),
        )
        assert not troubles(errors)
        finish(order)
        invoiced = Invoice.objects.filter(order=order).exists()
        assert CreditNote.objects.filter(order=order).exists() == invoiced
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_the_numbers_of_invoices_and_of_credit_notes_have_no_gap_after_rollbacks_and_races():
    def run(make: Callable[[int], None], order: Order, rollback: bool) -> None:
        with transaction.atomic():
            make(order.number)
            transaction.set_rollback(rollback)

    product(stock=99)
    orders = [buy() for _ in range(4)]
    for make, documents in (make_invoice, Invoice), (make_credit_note, CreditNote):
        calls = [partial(run, make, order, n % 2 == 0) for n, order in enumerate(orders)]
        assert not troubles(all_at_once(*calls))
        assert not troubles(all_at_once(*[partial(run, make, order, False) for order in orders]))
        assert sorted(documents.objects.values_list("number", flat=True)) == [1, 2, 3, 4]


def test_the_customer_gets_one_mail_and_sees_it_on_the_page(client):
    order = walked(STEPS.index(taken) + 1)
    cancellation.cancel(order.number)
    assert "Your order was cancelled." in client.get(order.get_absolute_url()).content.decode()
    finish(order)
    assert effects(partner="mail", key=f"cancellation:{order.number}") == {
        f"mail/cancellation cancellation:{order.number}": 1
    }
    assert effects(partner="mail", key=f"receipt:{order.number}") == {}, "it was called off"


def test_points_of_a_cancelled_order_are_taken_back_and_those_of_others_stay():
    other = walked(len(STEPS))
    finish(other)
    order = buy()
    finish(order)
    assert LoyaltyAccount.objects.get().points == 80
    assert cancellation.cancel(order.number)
    assert LoyaltyAccount.objects.get().points == 60
    loyalty.add_points(order.number)  # a job that was late
    assert LoyaltyAccount.objects.get().points == 60


# Everybody at once


def troubles(results: list) -> list[Exception]:
    """What went wrong of all that was done at once. Ignore is none: the cancellation was there before the claim."""
    return [result for result in results if isinstance(result, Exception) and not isinstance(result, Ignore)]


@pytest.mark.django_db(transaction=True)
def test_of_all_who_cancel_at_once_one_does_it():
    order = walked(STEPS.index(taken) + 1)
    done = all_at_once(*[lambda: cancellation.cancel(order.number)] * 8)
    assert sorted(done) == [False] * 7 + [True]
    assert (stock_of(), LoyaltyAccount.objects.get().points) == (PIECES, 0)
    finish(order)
    assert money(order) == REFUNDED
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_a_release_and_a_cancellation_at_once_end_cancelled():
    product(price="400.00", stock=PIECES)
    for _ in range(5):
        order = buy()
        finish(order)
        verbs = [settlement.release_hold, cancellation.cancel] * 3
        done = all_at_once(*[lambda verb=verb, number=order.number: verb(number) for verb in verbs])
        assert sorted(done[1::2]) == [False, False, True]
        finish(order)
        order.refresh_from_db()
        assert (order.status, money(order), shipped(order)) == (Status.CANCELLED, LET_GO, False)
    assert stock_of() == PIECES
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_a_capture_and_a_cancellation_at_once_charge_nobody_for_nothing():
    product(stock=99)
    for _ in range(6):
        order = buy()
        attempt(f"fraud:{order.number}")

        def cancel(number: int = order.number) -> None:
            cancellation.cancel(number)
            attempt(f"refund:{number}")

        errors = all_at_once(lambda number=order.number: attempt(f"capture:{number}"), cancel)
        assert not troubles(errors)
        finish(order)
        assert money(order) in (LET_GO, REFUNDED)
        assert not shipped(order)
    assert stock_of() == 99
    assert not Job.objects.filter(state=State.DEAD).exists()
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_a_capture_overtaken_by_its_void_ends_without_a_retry():
    order = walked(STEPS.index(review) + 1)
    fault("payments", latency_ms=1500)  # of what reaches the gateway from now on
    with ThreadPoolExecutor(1) as slow:
        asked = requests_at_the_gateway()
        capture = slow.submit(all_at_once, lambda: attempt(f"capture:{order.number}"))
        until(lambda: requests_at_the_gateway() > asked, what="the capture is on its way")
        fault("payments")
        assert cancellation.cancel(order.number)
        assert attempt(f"refund:{order.number}").result == payments.VOIDED
        (late,) = capture.result()
    assert late.state == State.SUCCEEDED
    assert Job.objects.get(key=f"shipment:{order.number}").state == State.CANCELLED
    assert money(order) == LET_GO


def requests_at_the_gateway() -> int:
    return urllib3.request("GET", f"{settings.BACKROOM_PARTNERS_URL}/traffic").json()["payments"]["requests"]


@pytest.mark.django_db(transaction=True)
def test_a_shipment_and_a_cancellation_at_once_send_it_or_put_it_back():
    product(stock=99)
    kept = 99
    for _ in range(6):
        order = buy()
        for kind in ("fraud", "capture"):
            attempt(f"{kind}:{order.number}")
        errors = all_at_once(
            lambda number=order.number: attempt(f"shipment:{number}"),
            lambda number=order.number: cancellation.cancel(number),
        )
        assert not troubles(errors)
        finish(order)
        kept -= shipped(order)
        assert stock_of() == kept, "what was sent is not on the shelf, and what was not is"
        assert money(order) == REFUNDED
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_points_earned_and_taken_back_at_once_are_none():
    product(stock=99, price="20.00")
    for _ in range(6):
        order = buy()
        done = all_at_once(
            lambda number=order.number: attempt(f"loyalty:{number}"),
            lambda number=order.number: cancellation.cancel(number),
        )
        assert not troubles(done)
    assert sum(LoyaltyAccount.objects.values_list("points", flat=True)) == 0


# The customer


@pytest.mark.parametrize("steps", range(2, len(STEPS) + 1), ids=names)
def test_a_customer_cancels_on_the_signed_page_once_asked_until_the_order_is_sent(client, steps):
    order = walked(steps)
    sent = steps > STEPS.index(send)
    page = client.get(order.get_absolute_url()).content.decode()
    assert ("Cancel this order" in page) == (not sent)
    asked = client.get(order.cancel_url)
    order.refresh_from_db()
    assert order.status == Status.PAID, "a look cancels nothing"
    if not sent:
        assert f"Cancel order {order.number}?" in asked.content.decode()
    for _ in range(2):
        assert client.post(order.cancel_url).url == order.get_absolute_url()
    page = client.get(order.get_absolute_url()).content.decode()
    assert ("can no longer be cancelled" in page) == sent
    finish(order)
    order.refresh_from_db()
    charged = steps > STEPS.index(take)
    if sent:
        assert (order.status, money(order), shipped(order), stock_of()) == (Status.PAID, KEPT, True, PIECES - BOUGHT)
    else:
        assert order.status == Status.CANCELLED
        assert (money(order), shipped(order), stock_of()) == (REFUNDED if charged else LET_GO, False, PIECES)
        assert effects(partner="mail", key=f"cancellation:{order.number}")
    assert audit.run().clean


@pytest.mark.parametrize("token", ["", "wrong", "ż"])
def test_only_the_token_cancels_and_only_from_a_page_of_ours(client, token):
    order = walked(STEPS.index(taken) + 1)
    for method in client.get, client.post:
        assert method(f"/orders/{order.number}/cancel/?{urlencode({'token': token})}").status_code == 404
    assert Client(enforce_csrf_checks=True).post(order.cancel_url).status_code == 403
    order.refresh_from_db()
    assert order.status == Status.PAID


@pytest.mark.parametrize("steps", [0, 1])
def test_a_customer_does_not_cancel_what_was_never_paid(client, steps):
    order = walked(steps)
    assert client.get(order.cancel_url).url == client.post(order.cancel_url).url == order.get_absolute_url()
    order.refresh_from_db()
    assert order.status == Status.PLACED


@pytest.mark.django_db(transaction=True)
def test_a_shipment_and_its_customers_cancellation_at_once_do_one_of_the_two():
    product(stock=99)
    kept = 99
    fault("warehouse", latency_ms=100)

    def cancel(order: Order, late: bool) -> None:
        if late:
            until(lambda: not Order.objects.get(pk=order.pk).cancellable, what="the shipment is on its way")
        cancellation.cancel_unsent(order.number)

    for late in (False, True) * 3:
        order = buy()
        for kind in ("fraud", "capture"):
            attempt(f"{kind}:{order.number}")
        errors = all_at_once(
            lambda number=order.number: attempt(f"shipment:{number}"),
            lambda order=order, late=late: cancel(order, late),
        )
        assert not troubles(errors)
        finish(order)
        order.refresh_from_db()
        sent = shipped(order)
        assert sent or not late
        kept -= sent
        assert (order.status, money(order)) == ((Status.PAID, KEPT) if sent else (Status.CANCELLED, REFUNDED))
        assert stock_of() == kept
    assert audit.run().clean


@pytest.mark.django_db(transaction=True)
def test_a_capture_and_its_customers_cancellation_at_once_charge_nobody_for_nothing():
    product(stock=99)
    for _ in range(4):
        order = buy()
        attempt(f"fraud:{order.number}")
        errors = all_at_once(
            lambda number=order.number: attempt(f"capture:{number}"),
            *[lambda number=order.number: cancellation.cancel_unsent(number)] * 3,
        )
        assert not troubles(errors)
        assert errors[1:].count(True) == 1
        finish(order)
        assert money(order) in (LET_GO, REFUNDED)
        assert not shipped(order)
    assert stock_of() == 99
    assert audit.run().clean


# Staff


def pressed(client, order: Order, **form: str):
    chosen = {"action": "cancel", "_selected_action": [order.number]}
    return client.post("/admin/orders/order/", {"confirm": "yes", "why": "a wrong address", **chosen, **form})


def test_staff_cancel_from_the_admin_and_a_second_click_does_nothing(admin_client):
    order = walked(STEPS.index(taken) + 1)
    for _ in range(2):
        assert pressed(admin_client, order).status_code == 302
    finish(order)
    assert money(order) == REFUNDED
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(order.number)]
    assert stock_of() == PIECES


def test_staff_confirm_a_cancellation_with_a_reason_and_it_is_in_the_operators_audit_log(admin_client):
    order = walked(STEPS.index(taken) + 1)
    asked = admin_client.post("/admin/orders/order/", {"action": "cancel", "_selected_action": [order.number]})
    for page in asked, pressed(admin_client, order, why=" "):
        assert "Cancel and refund: 1 order?" in page.content.decode()
    assert "Enter a reason." in page.content.decode()
    order.refresh_from_db()
    assert order.status == Status.PAID
    assert not AuditEntry.objects.exists()
    pressed(admin_client, order)
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.verb, entry.what, entry.why) == ("admin", "cancelled", str(order), "a wrong address")
    job = Job.objects.get(key=f"shipment:{order.number}")
    assert job.id in entry.jobs
    page = admin_client.get(f"/ops/jobs/{job.id}/").content.decode()
    assert f'admin</th><td class="words long" data-label="Action">cancelled {order}' in page
    assert f'<a href="/admin/orders/order/{order.number}/change/">{order}</a>' in page
    assert f'href="/ops/jobs/?q={order.number}"' in admin_client.get("/admin/orders/order/").content.decode()


def test_cancelling_needs_a_permission_of_its_own(client, django_user_model):
    order = walked(STEPS.index(taken) + 1)
    person = django_user_model.objects.create_user("packer", password="packs", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=["view_order", "change_order"]))
    client.force_login(person)
    pressed(client, order)
    order.refresh_from_db()
    assert order.status == Status.PAID
    person.user_permissions.add(Permission.objects.get(codename="cancel_order"))
    pressed(client, order)
    order.refresh_from_db()
    assert order.status == Status.CANCELLED
