"""The audit's comparison while the shop goes on selling: what moves during the look is neither lost nor stray."""

import pytest

from orders.audit import OrderState, Report, compare

KINDS = {
    "charge": ("payments", "payment"),
    "receipt": ("mail", "receipt"),
    "review": ("fraud", "fraud"),
    "shipment": ("warehouse", "shipment"),
    "order_paid": ("analytics", "analytics"),
}


def happened(number: int, *but: str, count: int = 1) -> list[dict]:
    """The partners' records of an order that went well, without some kinds."""
    return [
        {"partner": partner, "kind": kind, "key": f"{key}:{number}", "order": str(number), "count": count}
        for kind, (partner, key) in KINDS.items()
        if kind not in but
    ]


def compared(order: OrderState, theirs: list[dict], known: tuple[int, ...] = (1001,)) -> Report:
    report = Report()
    compare(report, {order.number: order}, theirs, set(known))
    return report


def test_a_paid_order_with_all_its_effects_is_clean():
    report = compared(OrderState(1001, "paid", True, {}), happened(1001))
    assert (report.clean, report.effects_expected, report.effects_found) == (True, 6, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_missing_effect_is_lost(kind):
    report = compared(OrderState(1001, "paid", True, {}), happened(1001, kind))
    assert [row["kind"] for row in report.lost] == [kind]


def test_an_order_younger_than_our_books_is_left_to_the_next_audit():
    assert compared(OrderState(1001, "paid", True, {}), happened(1001) + happened(1002), (1001, 1002)).clean


def test_an_order_that_does_not_exist_is_stray():
    report = compared(OrderState(1001, "paid", True, {}), happened(1001) + happened(1002))
    assert {row["key"] for row in report.stray} == {f"{key}:1002" for _, key in KINDS.values()}


def test_an_order_that_was_paid_while_we_looked_is_clean():
    books = OrderState(1001, "placed", False, {"settle:1001": "waiting"})
    assert compared(books, happened(1001)).clean


def test_an_order_on_hold_must_not_be_shipped_but_may_have_been_before():
    assert compared(OrderState(1001, "on_hold", True, {}), happened(1001, "shipment")).clean
    assert compared(OrderState(1001, "on_hold", True, {}), happened(1001)).clean


@pytest.mark.parametrize("status", ["declined", "cancelled"])
def test_an_order_that_kept_no_money_causes_nothing(status):
    report = compared(OrderState(1001, status, True, {}), happened(1001))
    assert {row["kind"] for row in report.stray} == {*KINDS, "invoice"}


def test_an_effect_without_a_key_or_an_order_is_stray():
    nameless = [{"partner": "warehouse", "kind": "shipment", "key": "", "order": "", "count": 1}]
    assert [row["partner"] for row in compared(OrderState(1001, "declined", False, {}), nameless).stray] == [
        "warehouse"
    ]


def test_a_mail_that_is_about_no_order_is_none_of_its_business():
    report = [{"partner": "mail", "kind": "sales-report", "key": "sales-report:2026-11-22", "order": "", "count": 1}]
    assert compared(OrderState(1001, "declined", False, {}), report).clean
