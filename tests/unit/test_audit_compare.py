"""The audit's comparison: what fits an order and what does not; and what moves during the look is neither."""

import pytest

from notifications.models import Notice
from orders.follow_ups import When
from orders.reconciliation.audit import Report, compare
from orders.reconciliation.expected import OrderState, effect_keys

SOLD = ("authorization", "charge", "receipt", "review", "shipment", "order_paid")
HELD = ("authorization", "receipt", "review", "order_paid")
GIVEN_UP = ("authorization", "order_paid", "cancellation")


def happened(number: int, *kinds: str, count: int = 1) -> list[dict]:
    """The partners' records of an order."""
    return [
        {"partner": partner, "kind": kind, "key": f"{key}:{number}", "order": str(number), "count": count}
        for kind in kinds
        for partner, key in [effect_keys()[kind]]
    ]


def compared(order: OrderState, theirs: list[dict], known: tuple[int, ...] = (1001,)) -> Report:
    report = Report()
    compare(report, {order.number: order}, theirs, set(known))
    return report


def order(status: str, **more) -> OrderState:
    return OrderState(1001, status, **{"invoiced": True, "jobs": {}, "paid": True} | more)


def test_a_paid_order_with_all_its_effects_is_clean():
    report = compared(order("paid"), happened(1001, *SOLD))
    assert (report.clean, report.effects_expected, report.effects_found) == (True, 7, 7)


@pytest.mark.parametrize("kind", SOLD)
def test_each_missing_effect_is_lost(kind):
    report = compared(order("paid"), happened(1001, *set(SOLD) - {kind}))
    assert [row["kind"] for row in report.lost] == [kind]


@pytest.mark.parametrize("kind", SOLD)
def test_each_effect_that_happened_twice_is_duplicated(kind):
    report = compared(order("paid"), happened(1001, *set(SOLD) - {kind}) + happened(1001, kind, count=2))
    assert [row["kind"] for row in report.duplicated] == [kind]


def test_an_order_younger_than_the_read_is_left_to_the_next_audit():
    assert compared(order("paid"), happened(1001, *SOLD) + happened(1002, *SOLD), (1001, 1002)).clean


def test_an_effect_of_an_order_that_does_not_exist_is_unexpected():
    report = compared(order("paid"), happened(1001, *SOLD) + happened(1002, *SOLD))
    assert [row["kind"] for row in report.unexpected] == [*SOLD]


def test_an_order_that_was_paid_or_cancelled_while_we_looked_is_clean():
    placed = order("placed", invoiced=False, jobs={"settle:1001": "waiting"}, paid=False)
    assert compared(placed, happened(1001, *SOLD)).clean
    assert compared(order("paid", moved=True), happened(1001, *SOLD, "refund", "cancellation")).clean


def test_an_order_on_hold_is_reserved_and_neither_charged_nor_shipped():
    assert compared(order("on_hold"), happened(1001, *HELD)).clean
    report = compared(order("on_hold"), happened(1001, *SOLD))
    assert {row["kind"] for row in report.unexpected} == {"charge", "shipment"}


def test_what_waits_for_a_person_does_not_make_an_order_on_hold_unfinished():
    assert not order("on_hold", jobs={"capture:1001": "waiting", "shipment:1001": "waiting"}).unfinished()
    assert order("on_hold", jobs={"receipt:1001": "waiting"}).unfinished()


@pytest.mark.parametrize("money", [("void",), ("charge", "refund")])
@pytest.mark.parametrize("sooner", [(), ("receipt", "review")])
def test_a_cancelled_order_gave_the_money_back_in_one_way(money, sooner):
    report = compared(order("cancelled"), happened(1001, *GIVEN_UP, *money, *sooner))
    assert (report.clean, report.effects_expected, report.effects_found) == (True, 3, 3)


def test_a_credit_note_is_lost_where_it_is_due_and_unexpected_elsewhere():
    theirs = happened(1001, *GIVEN_UP, "charge", "refund")
    assert compared(order("cancelled", credited=True, noted=True), theirs).clean
    assert [row["key"] for row in compared(order("cancelled", credited=True), theirs).lost] == ["credit_note:1001"]
    sold = compared(order("paid", noted=True), happened(1001, *SOLD))
    assert [row["key"] for row in sold.unexpected] == ["credit_note:1001"]


@pytest.mark.parametrize(
    ("money", "stray"),
    [
        ((), {"authorization"}),  # neither charged nor voided
        (("charge",), {"charge"}),
        (("charge", "void"), {"charge", "void"}),
        (("charge", "void", "refund"), {"void"}),
        (("void", "refund"), {"refund"}),
    ],
)
def test_money_of_a_cancelled_order_that_does_not_add_up_is_unexpected(money, stray):
    report = compared(order("cancelled"), happened(1001, *GIVEN_UP, *money))
    assert {row["kind"] for row in report.unexpected} == stray


@pytest.mark.parametrize("kind", ["void", "refund"])
def test_money_of_a_sold_order_that_was_given_back_is_lost(kind):
    report = compared(order("paid"), happened(1001, *SOLD, kind))
    assert [row["kind"] for row in report.lost] == ["authorization"]


def test_a_second_refund_under_another_key_is_unexpected():
    another = happened(1001, "refund")[0] | {"key": "refund:again"}
    report = compared(order("cancelled"), [*happened(1001, *GIVEN_UP, "charge", "refund"), another])
    assert [row["key"] for row in report.unexpected] == ["refund:again"]


def test_a_cancelled_order_was_shipped_only_if_the_warehouse_was_asked_before():
    theirs = happened(1001, *GIVEN_UP, "charge", "refund", "shipment")
    assert compared(order("cancelled", sent=True), theirs).clean
    assert [row["kind"] for row in compared(order("cancelled"), theirs).unexpected] == ["shipment"]


def test_a_cancellation_without_a_mail_is_lost():
    assert [row["kind"] for row in compared(order("cancelled"), happened(1001, *GIVEN_UP[:2], "void")).lost] == [
        "cancellation"
    ]


@pytest.mark.parametrize("status", ["declined", "cancelled"])
def test_an_order_that_was_never_paid_causes_nothing(status):
    report = compared(order(status, paid=False), happened(1001, *SOLD))
    assert {row["kind"] for row in report.unexpected} == {*SOLD, "invoice"} - {"authorization"}


@pytest.mark.parametrize("status", ["declined", "cancelled"])
def test_a_customer_who_was_to_be_mailed_that_nothing_came_of_it_was_or_the_mail_is_lost(status):
    never = order(status, paid=False, invoiced=False, by_mail=True)
    assert compared(never, happened(1001, "unpaid")).clean
    assert [row["kind"] for row in compared(never, []).lost] == ["unpaid"]
    answered = order(status, paid=False, invoiced=False)
    assert compared(answered, []).clean
    assert [row["kind"] for row in compared(answered, happened(1001, "unpaid")).unexpected] == ["unpaid"]


@pytest.mark.parametrize("status", ["declined", "cancelled"])
def test_money_reserved_for_an_order_that_was_never_paid_is_let_go(status):
    never = order(status, paid=False, invoiced=False)
    assert compared(never, happened(1001, "authorization", "void")).clean
    assert [row["kind"] for row in compared(never, happened(1001, "authorization")).unexpected] == ["authorization"]


def test_an_effect_without_a_key_or_an_order_is_unexpected():
    nameless = [{"partner": "warehouse", "kind": "shipment", "key": "", "order": "", "count": 1}]
    report = compared(order("declined", paid=False, invoiced=False), nameless)
    assert [row["partner"] for row in report.unexpected] == ["warehouse"]


SHIPPED = (When.SENT, When.SHIPPED)


def notice(channel: str, state: str = Notice.State.ACCEPTED) -> dict[str, Notice]:
    """The notice of a shipment."""
    return {"shipped:1001": Notice(key="shipped:1001", kind="shipped", channel=channel, state=state)}


def by(*channels: str) -> list[dict]:
    """All that a sold order has, and the notice of its shipment at the partners of these channels."""
    sent = [{"partner": one, "kind": "shipped", "key": "shipped:1001", "order": "1001", "count": 1} for one in channels]
    return happened(1001, *SOLD) + sent


def shipped(**more) -> OrderState:
    return order("paid", reached=SHIPPED, labelled=True, sent=True, **more)


@pytest.mark.parametrize(
    ("channel", "partners"),
    [
        ("mail", ["mail"]),
        ("sms", ["sms"]),
        ("push", ["push"]),
        ("mail", ["sms", "mail"]),  # mail took over
        ("mail", ["push", "mail"]),
    ],
)
def test_a_notice_counts_whatever_its_channel(channel, partners):
    report = compared(shipped(notices=notice(channel)), by(*partners))
    assert (report.clean, report.effects_expected, report.effects_found) == (True, 9, 9), report


@pytest.mark.parametrize("channel", ["mail", "sms", "push"])
def test_a_notice_that_its_partner_has_not_is_lost(channel):
    report = compared(shipped(notices=notice(channel), jobs={f"{channel}:shipped:1001": "dead"}), by())
    assert [(row["partner"], row["why"]) for row in report.lost] == [(channel, "its job is dead")]


def test_a_report_without_a_notice_is_lost_and_a_notice_that_was_no_longer_wanted_is_not():
    assert [row["why"] for row in compared(shipped(), by()).lost] == ["there is no job for it"]
    for partners in [], ["sms"]:  # the second: its worker died before it recorded the answer
        assert compared(shipped(notices=notice("sms", Notice.State.UNWANTED)), by(*partners)).clean


def test_one_notice_by_two_channels_is_unexpected_unless_mail_took_over():
    report = compared(shipped(notices=notice("sms")), by("sms", "mail"))
    assert [row["partner"] for row in report.unexpected] == ["mail"]


def test_a_notice_of_a_parcel_that_was_never_reported_is_unexpected():
    report = compared(order("paid", reached=(When.SENT,), labelled=True), by("mail"))
    assert [row["kind"] for row in report.unexpected] == ["shipped"]


@pytest.mark.parametrize("ended", [{"status": "cancelled"}, {"status": "paid", "erased": True}], ids=str)
def test_an_order_that_was_cancelled_or_erased_needs_no_notice_and_may_have_had_one(ended):
    money = ("refund", "cancellation") if ended["status"] == "cancelled" else ()
    for partners in ([], ["mail"], ["sms", "mail"]):
        state = order(**ended, reached=SHIPPED, sent=True, notices=notice("mail") if partners else {})
        report = compared(state, by(*partners) + happened(1001, *money))
        assert report.clean, report


def test_a_label_is_lost_where_the_warehouse_accepted_the_order_and_unexpected_elsewhere():
    accepted = order("paid", reached=(When.SENT,))
    assert [row["key"] for row in compared(accepted, by()).lost] == ["label:1001"]
    assert [row["key"] for row in compared(order("paid", labelled=True), by()).unexpected] == ["label:1001"]
    assert compared(order("cancelled", reached=(When.SENT,), labelled=True, sent=True),
                    happened(1001, *SOLD, "refund", "cancellation")).clean  # fmt: skip


MESSAGES = [  # partner and key; the partners take a number alone for an order's
    ("mail", "sales-report:2026-11-22"),
    ("mail", "reset:7-5932"),
    ("mail", "campaign:3-17"),
    ("mail", "back_in_stock:17"),
    ("push", "back_in_stock:1001"),
]


@pytest.mark.parametrize(("partner", "key"), MESSAGES)
def test_a_message_about_no_order_is_expected_once(partner, key):
    kind, _, about = key.partition(":")
    message = {"partner": partner, "kind": kind, "key": key, "order": about if about.isdigit() else "", "count": 1}
    assert compared(order("paid"), [*happened(1001, *SOLD), message]).clean
    report = compared(order("paid"), [*happened(1001, *SOLD), message | {"count": 2}])
    assert ([row["key"] for row in report.duplicated], report.unexpected) == ([key], [])


def test_a_confirmed_booking_is_expected_and_an_unconfirmed_one_may_be_there():
    booked = happened(1001, "booked-invoice")
    assert compared(order("paid"), [*happened(1001, *SOLD), *booked]).clean
    confirmed = order("paid", booked=frozenset({"booked-invoice"}))
    assert compared(confirmed, [*happened(1001, *SOLD), *booked]).clean
    (row,) = compared(confirmed, happened(1001, *SOLD)).lost
    assert (row["key"], row["why"]) == ("booked-invoice:1001", "the partner had confirmed its batch")
    noted = happened(1001, "booked-credit-note")
    assert [row["key"] for row in compared(order("paid"), [*happened(1001, *SOLD), *noted]).unexpected] == [
        "booked-credit-note:1001"
    ]
