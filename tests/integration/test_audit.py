"""The audit finds lost, duplicate and unexpected effects, and no others."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from backroom.ledger import operations
from backroom.ledger.models import Job, State
from backroom.ops import audit_log
from catalog.models import Product
from orders import payments
from orders.models import Invoice, LoyaltyAccount, Order, OrderLine, Status
from orders.ordering import cancellation, settlement, stock
from orders.reconciliation import audit
from orders.reconciliation.counts import oversold
from orders.storefront import timeline
from tests.integration.buying import attempt, buy, fault, live_keys, product

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]

IN_TURN = ["invoice", "receipt", "fraud", "capture", "shipment", "label", "analytics", "loyalty", "recommendations"]


def finish(order: Order, *but: str) -> None:
    """Run the follow-ups of an order, all but some."""
    for kind in IN_TURN:
        if kind not in but and (kind != "label" or Job.objects.filter(key=f"label:{order.number}").exists()):
            attempt(f"{kind}:{order.number}")


def findings(rows: list[dict]) -> list[tuple[str, str, str]]:
    return [(row["partner"], row["kind"], row["key"]) for row in rows]


def post(path: str, body: dict, key: str) -> None:
    """Do something at a partner behind the shop's back."""
    urllib3.request("POST", f"{settings.BACKROOM_PARTNERS_URL}{path}", json=body, headers={"Idempotency-Key": key})


def status_of_command(capsys, *arguments: str) -> tuple[int, str]:
    """The exit status of `manage.py audit`, and what it printed."""
    try:
        call_command("audit", *arguments)
    except SystemExit as stop:
        return stop.code, "".join(capsys.readouterr())
    return 0, "".join(capsys.readouterr())


def test_an_order_that_is_paid_while_the_audit_reads_is_not_lost():
    product()
    looked = []

    def buy_behind_the_first_look(execute, *arguments):
        found = execute(*arguments)
        if not looked:
            looked.append(arguments[0])
            buy()
        return found

    with connection.execute_wrapper(buy_behind_the_first_look):
        report = audit.run()
    assert looked
    assert report.clean, report


def test_orders_of_every_status_that_went_well_are_clean(capsys):
    product(price="2.40")
    product("saffron", price="400.00")
    finish(buy())
    finish(buy(quantity=2))
    finish(buy("saffron"))
    buy(card="demo-decline")
    status, printed = status_of_command(capsys, "--json")
    report = json.loads(printed)
    assert status == 0, printed
    assert sorted(Order.objects.values_list("status", flat=True)) == ["declined", "on_hold", "paid", "paid"]
    assert (report["orders"], report["unfinished"]) == (4, 0)
    assert report["effects_expected"] == report["effects_found"] == 8 + 8 + 5
    assert report["lost"] == report["duplicated"] == report["stray"] == []


def test_a_job_that_is_still_alive_is_unfinished_and_not_lost(capsys):
    product()
    finish(buy(), "analytics")
    report = audit.run()
    assert (report.unfinished, report.lost) == (1, [])
    assert status_of_command(capsys, "--wait", "0.6")[0] == 3


def test_waiting_ends_when_nothing_is_alive(capsys):
    product("saffron", price="400.00")
    finish(buy("saffron"))  # on hold: its shipment waits for a person, not the audit for it
    assert status_of_command(capsys, "--wait", "30")[0] == 0


def test_a_dead_job_is_a_lost_effect(capsys):
    product()
    order = buy()
    fault("analytics", status=400)
    finish(order)
    assert Job.objects.get(key=f"analytics:{order.number}").state == State.DEAD
    status, printed = status_of_command(capsys)
    assert status == 1
    assert f"lost: analytics/order_paid analytics:{order.number}: its job is dead" in printed


def test_an_effect_behind_a_dead_job_is_lost_not_unfinished(capsys):
    product()
    order = buy()
    fault("fraud", status=400)
    finish(order, "capture", "shipment")
    assert Job.objects.get(key=f"shipment:{order.number}").state == State.WAITING
    status, printed = status_of_command(capsys)
    assert status == 1
    assert f"lost: warehouse/shipment shipment:{order.number}: its job is behind a dead letter" in printed
    stuck = {row.kind: row for row in timeline.rows_of(order)}["shipment"]
    assert (stuck.state, stuck.live) == ("failed", False)
    assert timeline.poll_every(order, timeline.rows_of(order)) is None


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("receipt", ("mail", "receipt")),
        ("invoice", ("orders", "invoice")),
        ("fraud", ("fraud", "review")),
        ("shipment", ("warehouse", "shipment")),
    ],
)
def test_an_effect_that_never_happened_is_lost(kind, finding):
    product()
    order = buy()
    finish(order, kind)
    for key in live_keys(order.number):
        operations.cancel(keys=[key], why="for the test")
    if kind == "invoice":  # the receipt needs it; this audit is about what is kept, not about how it was made
        Invoice.objects.filter(order=order).delete()
    assert (*finding, f"{kind}:{order.number}") in findings(audit.run().lost)


def test_a_ledger_that_says_it_was_done_is_not_believed():
    product()
    order = buy()
    finish(order, "shipment")
    Job.objects.filter(key=f"shipment:{order.number}").update(state=State.SUCCEEDED)
    assert findings(audit.run().lost) == [("warehouse", "shipment", f"shipment:{order.number}")]


def test_what_happened_twice_is_duplicated():
    product()
    order = buy()
    finish(order)
    Job.objects.filter(key=f"receipt:{order.number}").update(state=State.READY)  # as if its success got lost
    attempt(f"receipt:{order.number}")
    report = audit.run()
    assert findings(report.duplicated) == [("mail", "receipt", f"receipt:{order.number}")]
    assert report.duplicated[0]["count"] == 2
    assert not report.lost


def test_points_counted_twice_or_not_at_all_are_noticed():
    product()
    finish(buy())
    LoyaltyAccount.objects.update(points=F("points") + 2)
    assert findings(audit.run().duplicated) == [("orders", "points", "loyalty")]
    LoyaltyAccount.objects.all().delete()
    assert findings(audit.run().lost) == [("orders", "points", "loyalty")]


@pytest.mark.parametrize("kind", ["loyalty", "recommendations"])
def test_an_order_that_was_not_counted_is_lost_and_the_audit_names_who_cancelled_its_job(kind):
    product()
    order = buy()
    ids = [str(Job.objects.get(key=f"{each}:{order.number}").id) for each in (kind, "analytics")]
    audit_log.cancel(ids, "a colleague", "the statistics are full")
    finish(order, kind, "analytics")
    why = "its job is cancelled (cancelled by a colleague: the statistics are full)"
    lost = {(row["key"], row["why"]) for row in audit.run().lost}
    assert lost == {(f"analytics:{order.number}", why), (f"{kind}:{order.number}", why)}


@pytest.mark.django_db(transaction=True)
def test_a_job_that_ends_while_the_audit_reads_is_not_lost():
    product()
    order = buy()
    finish(order, "loyalty", "recommendations")
    looked = []

    def end_behind_the_first_look(execute, *arguments):
        found = execute(*arguments)
        if not looked and "orders_order" in arguments[0]:
            looked.append(arguments[0])
            for kind in "loyalty", "recommendations":
                attempt(f"{kind}:{order.number}")
        return found

    with connection.execute_wrapper(end_behind_the_first_look):
        report = audit.run()
    assert looked
    assert (report.clean, report.unfinished) == (True, 0), report


def test_pieces_that_were_put_back_although_an_order_keeps_them_are_sold_twice():
    product(stock=10)
    finish(buy(quantity=3))
    declined, cancelled, placed = buy(card="demo-decline"), buy(), buy(card="demo-slow")
    cancellation.cancel(cancelled.number)
    assert not oversold()
    stock.release(placed.number)
    assert (declined.status, oversold()) == (Status.DECLINED, [("apples", 1)])
    assert ("orders", "pieces", "apples") in findings(audit.run().duplicated)


def test_pieces_that_another_release_took_or_put_back_without_counting_prove_nothing():
    product(stock=10)
    old, new = buy(quantity=3), buy(quantity=2)
    OrderLine.objects.filter(order=old).update(taken=0)
    Product.objects.update(taken=2)
    Order.objects.filter(number=new.number).update(status=Status.CANCELLED)  # and the stock put back, not counted
    assert not oversold()
    assert cancellation.cancel(old.number)
    assert (Product.objects.get().taken, oversold()) == (2, [])


def test_an_order_that_no_job_settles_is_lost():
    product()
    fault("payments", down=True)
    order = buy()
    operations.cancel(keys=[f"settle:{order.number}"], why="for the test")
    assert findings(audit.run().lost) == [("orders", "settlement", f"settle:{order.number}")]


def test_money_reserved_for_a_cancelled_order_is_noticed_and_money_given_back_is_fine():
    product()
    order = buy()
    for key in live_keys(order.number):
        operations.cancel(keys=[key], why="for the test")
    Order.objects.update(status=Status.CANCELLED)
    Order.objects.update(paid_at=None)
    assert findings(audit.run().unexpected) == [("payments", "authorization", f"payment:{order.number}")]
    payments.void(order.number)
    assert audit.run().clean


def test_money_given_back_for_an_order_that_is_sold_is_noticed():
    product()
    order = buy()
    finish(order)
    payments.refund(order.number)
    assert findings(audit.run().lost) == [("payments", "authorization", f"payment:{order.number}")]


def test_an_authorization_without_an_order_is_noticed():
    body = {"order": "99", "amount": "1.00", "currency": "EUR", "card": "demo-approve"}
    post("/payments/authorizations", body, "payment:99")
    assert findings(audit.run().unexpected) == [("payments", "authorization", "payment:99")]


def test_a_shipment_of_a_declined_order_is_noticed():
    product()
    order = buy(card="demo-decline")
    body = {"event": "order_paid", "order": str(order.number), "amount": "1.00", "currency": "EUR", "items": 1}
    post("/analytics/events", body, f"analytics:{order.number}")
    assert findings(audit.run().unexpected) == [("analytics", "order_paid", f"analytics:{order.number}")]


def test_a_cancelled_order_in_the_middle_of_its_void_is_unfinished():
    product()
    fault("payments", accept_then_fail=True)
    order = buy()
    settlement.cancel(order.number)
    Order.objects.update(created_at=Now())
    report = audit.run()
    assert report.clean
    assert report.unfinished == 1


def test_unreachable_partners_are_one_clear_line(capsys, settings):
    settings.BACKROOM_PARTNERS_URL = "http://127.0.0.1:9"
    status, printed = status_of_command(capsys)
    assert (status, printed.count("\n")) == (4, 1)
    assert "http://127.0.0.1:9/effects" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *((["--wait", wait], "is not a number of seconds") for wait in ("nan", "inf", "-1", "soon")),
        (["--since", "yesterday"], "is not a time; give one such as"),
        (["--since", "0001-01-01T00:00+14:00"], "is not a time; give one such as"),
        (["--since", "2999-01-01"], "is in the future"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_read(arguments, said, settings):
    settings.BACKROOM_PARTNERS_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match=said):
        call_command("audit", *(f"{name}={value}" for name, value in zip(*[iter(arguments)] * 2, strict=True)))


def test_what_was_found_and_seen_to_is_not_found_again_since_then_and_what_is_new_is(capsys):
    product()
    order, other = buy(), buy()
    finish(order)
    finish(other)

    def mail_again(number: int) -> None:
        Job.objects.filter(key=f"receipt:{number}").update(state=State.READY)  # as if its success got lost
        attempt(f"receipt:{number}")

    mail_again(order.number)
    assert status_of_command(capsys)[0] == 1
    time.sleep(0.002)  # the partners' records are to the millisecond
    now = datetime.now(UTC).isoformat()
    status, printed = status_of_command(capsys, "--since", now)
    assert (status, printed[:9]) == (0, "0 orders,"), printed
    finish(buy(), "analytics")
    Job.objects.filter(key__startswith="analytics:").update(state=State.SUCCEEDED)
    mail_again(other.number)
    report = audit.run(datetime.fromisoformat(now))
    assert report.orders == 1
    assert [row["kind"] for row in report.lost] == ["order_paid"]
    assert findings(report.duplicated) == [("mail", "receipt", f"receipt:{other.number}")]


def test_partners_whose_clocks_are_behind_are_believed_about_orders_since_then():
    product()
    order = buy()
    finish(order)
    Order.objects.update(created_at=Now() + timedelta(seconds=30))  # later than all that they have on record
    report = audit.run(datetime.now(UTC) + timedelta(seconds=20))
    assert (report.orders, report.clean) == (1, True), report
