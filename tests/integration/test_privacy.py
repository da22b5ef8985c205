"""A customer's data: exported, corrected, erased on demand, and erased in time."""

import base64
import json
from datetime import timedelta
from functools import partial

import pytest
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone

from accounts import data_requests
from backroom.inbound.webhooks import Event
from backroom.ledger.models import LIVE, Job, State
from backroom.ops.models import AuditEntry
from orders import privacy
from orders.cart import Cart
from orders.models import Invoice, LoyaltyAccount, Order
from orders.ordering import cancellation, settlement, shipments
from orders.ordering.checkout import take_from_cart
from orders.ordering.correction import correct_email
from orders.reconciliation import audit, reconcile
from tests.integration import mailbox as smtp
from tests.integration.buying import CUSTOMER, all_at_once, attempt, buy, effects, fault, product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("partners")]

PERSON = (CUSTOMER.email, CUSTOMER.name, CUSTOMER.address, CUSTOMER.city, CUSTOMER.postcode)


def sold(finished: bool = True, **options) -> Order:
    """A paid order, with all of its jobs done."""
    if "slug" not in options:
        product()
    order = buy(**options)
    if finished:
        finish(order.number)
    return order


def sold_and_asked(**options) -> Order:
    """The same, and its customer has asked to be erased."""
    order = sold(**options)
    data_requests.erase(CUSTOMER.email, None, "staff")
    return order


def finish(number: int) -> None:
    """Run its jobs, let its parcel leave, and run what follows from that."""
    run_all(number)
    if Order.objects.filter(number=number, sent_at__isnull=False, shipped_at=None).exists():
        left = {"order": str(number)}
        shipments.record(Event(f"left-{number}", "shipment.shipped", timezone.now(), left))
        run_all(number)


def run_all(number: int) -> None:
    its = Job.objects.filter(key__endswith=f":{number}", state__in=LIVE).exclude(key__regex="^(erase|review):")
    while jobs := list(its.all()):
        for job in jobs:
            if job.run_at is not None or job.state == State.READY:
                attempt(job.key)


def erased(number: int) -> Order:
    assert attempt(f"erase:{number}").state == State.SUCCEEDED
    return Order.objects.get(number=number)


def customer(verb: str, capsys, address: str = CUSTOMER.email.upper()) -> str:
    call_command("customer", verb, address)
    return capsys.readouterr().out


def test_an_export_holds_the_orders_the_documents_and_the_points_but_no_key_of_ours(capsys):
    order = sold()
    found = json.loads(customer("export", capsys))
    (exported,) = found["orders"]
    assert [exported[name] for name in ("email", "name", "address", "city", "postcode")] == list(PERSON)
    assert found["loyalty_points"] == LoyaltyAccount.objects.get().points == 2
    assert [line["name"] for line in exported["lines"]] == ["Apples"]
    assert base64.b64decode(exported["invoice"]) == bytes(Invoice.objects.get().pdf)
    assert order.token not in json.dumps(found)


def test_an_address_of_no_customer_any_more_is_said_and_changes_nothing(capsys):
    erased(sold_and_asked().number)
    for verb in ("export", "erase"):
        for address in ("stranger@example.com", CUSTOMER.email, ""):
            with pytest.raises(SystemExit):
                customer(verb, capsys, address)
    assert AuditEntry.objects.count() == 1


def test_an_erased_order_keeps_the_books_and_nothing_of_its_customer(capsys):
    before = sold()
    cart = Cart.objects.create()
    take_from_cart(before, cart)
    assert f"erase:{before.number}" in customer("erase", capsys)
    after = erased(before.number)
    assert not [value for value in vars(after).values() if value in PERSON]
    assert (after.total, after.paid_at, after.country, after.points) == (before.total, before.paid_at, "PL", 2)
    assert after.token != before.token
    assert not cancellation.cancel(after.number)
    assert after.fingerprint == ""
    assert not LoyaltyAccount.objects.exists()
    assert not Cart.objects.exists()
    assert Invoice.objects.get().pdf  # with the name and the address, until its retention ends
    assert AuditEntry.objects.get().what == f"the customer of order {before.number}"


def test_the_audit_and_the_reconciler_stay_clean_after_an_erasure():
    product("saffron", price="99.00")
    orders = [sold(slug="saffron", quantity=2) for _ in range(3)]
    cancellation.cancel(orders[2].number)
    finish(orders[2].number)
    data_requests.erase(CUSTOMER.email, None, "staff")
    before = effects()
    for order in orders:
        erased(order.number)
    report, outcome = audit.run(), reconcile.run(age=timedelta(0))
    assert (report.orders, report.clean, report.unfinished) == (3, True, 0)
    assert (outcome.repairs, outcome.reports) == ([], [])
    assert effects() == before


def test_an_order_that_still_needs_its_customer_is_erased_later():
    order = sold_and_asked(finished=False)
    assert attempt(f"erase:{order.number}").state == State.WAITING
    finish(order.number)
    Job.objects.filter(key=f"receipt:{order.number}").update(state=State.DEAD)
    assert attempt(f"erase:{order.number}").state == State.WAITING
    Job.objects.filter(key=f"receipt:{order.number}").update(state=State.SUCCEEDED)
    Order.objects.update(shipped_at=None)  # the parcel is still in the warehouse
    assert attempt(f"erase:{order.number}").state == State.WAITING
    Order.objects.update(sent_at=Now() - privacy.LEAVES)  # no report came
    assert erased(order.number).erased_at


def test_an_erasure_that_a_partner_delays_or_refuses_can_be_asked_for_again():
    order = sold_and_asked()
    fault("warehouse", down=True)
    assert attempt(f"erase:{order.number}").state == State.WAITING
    fault("warehouse", status=400)
    assert attempt(f"erase:{order.number}").state == State.DEAD
    assert Order.objects.get().name == CUSTOMER.name
    fault("warehouse")
    data_requests.erase(CUSTOMER.email, None, "staff")
    assert erased(order.number).name == ""


def test_of_an_erasure_and_a_cancellation_at_once_one_wins_and_nothing_is_mailed_to_nobody():
    product("saffron", price="99.00", stock=100)
    for _ in range(2):
        number = sold_and_asked(slug="saffron").number
        all_at_once(partial(attempt, f"erase:{number}"), partial(cancellation.cancel, number))
        finish(number)
        if Order.objects.get(number=number).erased_at is None:
            erased(number)
        assert not Job.objects.filter(state=State.DEAD).exists()
    assert audit.run().clean


def test_an_erasure_leaves_the_points_of_the_customers_later_order():
    product("saffron", price="99.00")
    first, second = sold(slug="saffron"), sold(slug="saffron", finished=False)
    data_requests.erase(CUSTOMER.email, None, "staff")
    erased(first.number)
    assert not LoyaltyAccount.objects.exists()
    finish(second.number)
    assert LoyaltyAccount.objects.get().points == 99
    assert audit.run().clean


def test_the_schedule_erases_old_orders_in_batches_and_old_documents_later(monkeypatch):
    monkeypatch.setattr(privacy, "BATCH", 2)
    product("saffron", stock=100)
    young, *old = (sold(slug="saffron") for _ in range(4))
    Order.objects.exclude(number=young.number).update(created_at=Now() - timedelta(days=731))
    assert [privacy.erase_old() for _ in range(3)] == [
        {"orders": 2, "documents": 0}, {"orders": 1, "documents": 0}, {"orders": 0, "documents": 0},
    ]  # fmt: skip
    for order in old:
        erased(order.number)
    assert Order.objects.get(number=young.number).erased_at is None
    Invoice.objects.update(created_at=Now() - timedelta(days=11 * 366))
    assert [privacy.erase_old()["documents"] for _ in range(3)] == [2, 1, 0]
    assert {order for order, pdf in Invoice.objects.values_list("pk", "pdf") if pdf} == {young.number}
    assert audit.run().clean


def test_an_order_on_hold_is_not_erased_by_the_schedule():
    order = sold(finished=False)
    Order.objects.filter(number=order.number).update(status="on_hold", created_at=Now() - timedelta(days=731))
    assert privacy.erase_old()["orders"] == 0
    assert settlement.release_hold(order.number)
    assert privacy.erase_old()["orders"] == 1


# Corrected by staff

RIGHT = "kawiarnia.laka@example.com"


def corrected(client, order: Order, email: str = RIGHT, why: str = "mistyped"):
    form = {"action": "correct_email", "_selected_action": [order.number], "confirm": "yes", "email": email, "why": why}
    return client.post("/admin/orders/order/", form)


def test_staff_correct_an_address_and_the_rejected_receipt_arrives(admin_client, settings):
    order = sold(finished=False)
    for kind in ("invoice", "loyalty"):
        attempt(f"{kind}:{order.number}")
    with smtp.serving(settings) as mailbox:
        mailbox.answers["RCPT"] = "550 5.1.1 no such user"
        assert attempt(f"receipt:{order.number}").state == State.DEAD
        mailbox.answers.clear()
        for _ in range(2):
            assert corrected(admin_client, order).status_code == 302
        assert attempt(f"receipt:{order.number}").state == State.SUCCEEDED
    assert [mail["To"] for mail in mailbox.mails] == [RIGHT]
    assert admin_client.get(order.get_absolute_url()).status_code == 404  # a stranger may have read it
    order.refresh_from_db()
    assert order.token in str(mailbox.mails[0].get_body(("plain",)).get_content())
    assert list(LoyaltyAccount.objects.values_list("email", "points")) == [(RIGHT, 2)]
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.verb, entry.what, entry.why) == ("admin", "email corrected", str(order), "mistyped")


def test_a_correction_needs_one_order_an_address_that_mail_reaches_and_a_reason(admin_client):
    product()
    first, second = buy(), buy()
    assert "Enter a reason." in corrected(admin_client, first, why=" ").content.decode()
    page = corrected(admin_client, first, "x@y").content.decode()
    assert "Enter a complete email address" in page
    assert 'value="x@y"' in page
    assert 'value="mistyped"' in page
    both = {"action": "correct_email", "_selected_action": [first.number, second.number]}
    assert "Choose at most 1 order." in admin_client.post("/admin/orders/order/", both, follow=True).content.decode()
    assert set(Order.objects.values_list("email", flat=True)) == {CUSTOMER.email}


def test_points_that_are_added_while_an_address_is_corrected_reach_its_account():
    product("saffron", price="99.00")
    for turn in range(3):
        number = buy("saffron").number
        email = f"turn{turn}@example.com"
        all_at_once(partial(attempt, f"loyalty:{number}"), partial(correct_email, number, email))
        finish(number)
        assert LoyaltyAccount.objects.get(email=email).points == 99
    assert audit.run().clean
