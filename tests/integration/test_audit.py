"""The audit finds what was lost, what was done twice, and what nobody asked for; and only that."""

import json

import pytest
import urllib3
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from jobs import control
from jobs.models import Job, State
from orders import audit, payments, settlement, timeline
from orders.models import Invoice, LoyaltyAccount, Order, Status
from tests.integration.buying import attempt, buy, fault, live_keys, product

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]

IN_TURN = ["invoice", "receipt", "fraud", "capture", "shipment", "analytics", "loyalty", "recommendations"]


def finish(order: Order, *but: str) -> None:
    """Run the follow-ups of an order, all but some."""
    for kind in IN_TURN:
        if kind not in but:
            attempt(f"{kind}:{order.number}")


def findings(rows: list[dict]) -> list[tuple[str, str, str]]:
    return [(row["partner"], row["kind"], row["key"]) for row in rows]


def post(path: str, body: dict, key: str) -> None:
    """Do something at a partner behind the shop's back."""
    urllib3.request("POST", f"{settings.PARTNERS_URL}{path}", json=body, headers={"Idempotency-Key": key})


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
    assert report["effects_expected"] == report["effects_found"] == 7 + 7 + 5
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
    assert (stuck.state, stuck.live) == ("stuck", False)
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
        control.call_off(key, "for the test")
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


def test_an_order_that_nobody_settles_is_lost():
    product()
    fault("payments", down=True)
    order = buy()
    control.call_off(f"settle:{order.number}", "for the test")
    assert findings(audit.run().lost) == [("orders", "settlement", f"settle:{order.number}")]


def test_money_reserved_for_a_cancelled_order_is_noticed_and_money_given_back_is_fine():
    product()
    order = buy()
    for key in live_keys(order.number):
        control.call_off(key, "for the test")
    Order.objects.update(status=Status.CANCELLED)
    Order.objects.update(paid_at=None)
    assert findings(audit.run().stray) == [("payments", "authorization", f"payment:{order.number}")]
    payments.void(order.number)
    assert audit.run().clean


def test_money_given_back_for_an_order_that_is_sold_is_noticed():
    product()
    order = buy()
    finish(order)
    payments.give_back(order.number)
    assert findings(audit.run().lost) == [("payments", "authorization", f"payment:{order.number}")]


def test_an_authorization_without_an_order_is_noticed():
    body = {"order": "99", "amount": "1.00", "currency": "EUR", "card": "demo-approve"}
    post("/payments/authorizations", body, "payment:99")
    assert findings(audit.run().stray) == [("payments", "authorization", "payment:99")]


def test_a_shipment_of_a_declined_order_is_noticed():
    product()
    order = buy(card="demo-decline")
    body = {"event": "order_paid", "order": str(order.number), "amount": "1.00", "currency": "EUR", "items": 1}
    post("/analytics/events", body, f"analytics:{order.number}")
    assert findings(audit.run().stray) == [("analytics", "order_paid", f"analytics:{order.number}")]


def test_a_cancelled_order_in_the_middle_of_its_void_is_unfinished():
    product()
    fault("payments", accept_then_fail=True)
    order = buy()
    settlement.cancel(order.number)
    Order.objects.update(created_at=Now())
    report = audit.run()
    assert report.clean
    assert report.unfinished == 1


def test_silent_partners_are_one_clear_line(capsys, settings):
    settings.PARTNERS_URL = "http://127.0.0.1:9"
    status, printed = status_of_command(capsys)
    assert (status, printed.count("\n")) == (2, 1)
    assert "http://127.0.0.1:9/effects" in printed
