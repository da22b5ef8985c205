"""The checkout with the real gateway: sales, charges and jobs, with a failure at each step."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from backroom.ledger.models import Job, State
from backroom.outbound import breaker
from catalog.models import Product
from orders import numbers, payments
from orders.models import Order, OrderLine, Status
from orders.ordering import cancellation, checkout, refusals, settlement
from orders.ordering.checkout import Wanted, place
from tests.integration import mailbox as smtp
from tests.integration.buying import (
    CUSTOMER,
    all_at_once,
    attempt,
    buy,
    effects,
    fault,
    live_keys,
    product,
    stock_of,
    traffic,
)
from tests.integration.gates import pause_over
from tests.integration.sick_database import a_session_waits
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]


@pytest.fixture
def mailbox(settings):
    with smtp.serving(settings) as mailbox:
        yield mailbox


def place_only() -> Order:
    """An order whose web process died right after transaction A."""
    return checkout.reserve(CUSTOMER, [Wanted("apples", 3)], None, "0" * 64)


def test_an_approved_card_pays_the_order_and_enqueues_its_follow_ups():
    product(stock=10)
    order = buy(quantity=3)
    assert (order.status, order.total, stock_of()) == (Status.PAID, 3 * Product.objects.get().price + order.delivery, 7)
    assert order.paid_at is not None
    kinds = {key.partition(":")[0] for key in live_keys(order.number)}
    assert kinds == {"invoice", "receipt", "fraud", "capture", "shipment", "analytics", "loyalty", "recommendations"}
    assert effects() == {f"payments/authorization payment:{order.number}": 1}
    assert Job.objects.get(key=f"settle:{order.number}").state == State.CANCELLED


def test_order_numbers_do_not_count_the_sales():
    product(stock=99)
    bought = [buy().number for _ in range(6)]
    assert {len(str(number)) for number in bought} == {8}
    assert 1 not in {after - before for before, after in pairwise(bought)}


def test_an_order_whose_drawn_number_is_taken_gets_another(monkeypatch):
    """Of three numbers only: each order but the first is likely to draw a taken one."""
    product(stock=99)
    monkeypatch.setattr(numbers, "NUMBERS", range(4711, 4714))
    orders = [buy(key=f"key-{n}") for n in range(3)]
    assert {order.number for order in orders} == {4711, 4712, 4713}
    assert stock_of() == 96


def test_a_declined_card_gives_the_pieces_back_and_enqueues_nothing():
    product(stock=10)
    order = buy(quantity=3, card="demo-decline")
    assert (order.status, stock_of()) == (Status.DECLINED, 10)
    assert not live_keys(order.number)
    assert effects() == {}


def test_a_slow_bank_is_answered_truthfully_and_settled_by_the_job():
    product()
    order = buy(card="demo-slow")
    settle = Job.objects.annotate(now=Now()).get(key=f"settle:{order.number}")
    assert order.status == Status.PLACED
    assert settle.run_at - settle.now <= timedelta(seconds=5), "the safety net was not rescheduled"

    settle = attempt(settle.key)
    assert (settle.state, settle.attempts) == (State.WAITING, 0), "a pending payment must not use up attempts"

    until(lambda: effects(), what="the bank's approval")
    assert attempt(settle.key).state == State.SUCCEEDED
    order.refresh_from_db()
    assert order.status == Status.PAID
    assert effects() == {f"payments/authorization payment:{order.number}": 1}


def test_an_answer_that_got_lost_after_the_charge_becomes_a_paid_order():
    product()
    fault("payments", accept_then_fail=True)
    order = buy()
    assert order.status == Status.PLACED
    fault("payments")
    attempt(f"settle:{order.number}")
    order.refresh_from_db()
    assert order.status == Status.PAID
    assert effects() == {f"payments/authorization payment:{order.number}": 1}


def test_a_gateway_that_is_down_costs_the_customer_no_money_and_the_shop_no_pieces():
    product(stock=10)
    fault("payments", down=True)
    order = buy(quantity=3)
    assert (order.status, stock_of()) == (Status.PLACED, 7)
    settle = attempt(f"settle:{order.number}")
    assert (settle.state, settle.attempts) == (State.WAITING, 1), "settling goes on trying"

    fault("payments")
    attempt(settle.key)
    order.refresh_from_db()
    assert (order.status, stock_of()) == (Status.CANCELLED, 10)
    assert live_keys(order.number) == {f"void:{order.number}", f"unpaid:{order.number}"}
    assert attempt(f"void:{order.number}").state == State.SUCCEEDED
    assert effects() == {}


@pytest.mark.parametrize(
    ("card", "said"), [("", "could not be confirmed, so we cancelled"), ("demo-decline", "Your bank declined the card")]
)
def test_whoever_was_told_that_we_go_on_asking_is_mailed_once_that_nothing_came_of_it(card, said, mailbox):
    product()
    fault("payments", status=500)
    order = buy()  # answered with "being confirmed"
    fault("payments")
    if card:
        payments.authorize(order.number, order.total, order.currency, card)
    attempt(f"settle:{order.number}")
    for verb in settlement.settle, settlement.cancel:
        verb(order.number)  # comes too late
    assert attempt(f"unpaid:{order.number}").state == State.SUCCEEDED
    (mail,) = mailbox.mails
    words = " ".join(mail.get_body(("plain",)).get_content().split())
    assert said in words
    assert "Nothing is charged" in words
    assert order.get_absolute_url() in words


def test_an_order_that_staff_cancels_while_it_is_being_confirmed_is_told_to_its_customer():
    product()
    order = place_only()
    assert cancellation.cancel(order.number)
    assert f"unpaid:{order.number}" in live_keys(order.number)


def test_a_gateway_that_others_found_silent_is_not_asked_and_the_order_is_over_at_once():
    product(stock=10)
    fault("payments", down=True)
    for _ in range(breaker.THRESHOLD):
        buy()
    asked, left = traffic("payments"), stock_of()
    order = buy()
    assert (order.status, stock_of()) == (Status.CANCELLED, left), "no job will capture its money"
    assert live_keys(order.number) == {f"void:{order.number}"}
    assert traffic("payments") == asked, "the open breaker let no call through"

    fault("payments")
    pause_over("payments")
    assert attempt(f"void:{order.number}").state == State.SUCCEEDED
    assert effects() == {}


def test_a_charge_that_arrives_after_the_order_was_given_up_is_never_made():
    product()
    order = place_only()
    attempt(f"settle:{order.number}")
    attempt(f"void:{order.number}")
    late = payments.authorize(order.number, order.total, order.currency, "demo-approve")
    assert late == payments.VOIDED
    settlement.conclude(order.number, late)
    order.refresh_from_db()
    assert order.status == Status.CANCELLED
    assert effects() == {}


def test_a_charge_made_in_the_moment_of_giving_up_is_given_back():
    product(stock=10)
    order = place_only()
    settlement.cancel(order.number)
    approved = payments.authorize(order.number, order.total, order.currency, "demo-approve")
    settlement.conclude(order.number, approved)  # the request comes too late to mark it as paid
    order.refresh_from_db()
    assert (order.status, stock_of()) == (Status.CANCELLED, 10)
    attempt(f"void:{order.number}")
    key = f"payment:{order.number}"
    assert effects() == {f"payments/authorization {key}": 1, f"payments/void void:{order.number}": 1}


def test_a_web_process_that_died_between_charge_and_commit_leaves_a_paid_order():
    product()
    order = place_only()
    payments.authorize(order.number, order.total, order.currency, "demo-approve")
    attempt(f"settle:{order.number}")
    order.refresh_from_db()
    assert order.status == Status.PAID
    assert f"receipt:{order.number}" in live_keys(order.number)
    assert effects() == {f"payments/authorization payment:{order.number}": 1}


def test_settling_what_is_settled_changes_nothing():
    product(stock=10)
    order = buy(card="demo-decline")
    for verb in (settlement.mark_paid, settlement.cancel):
        assert not verb(order.number)
    settlement.settle(order.number)
    order.refresh_from_db()
    assert (order.status, stock_of()) == (Status.DECLINED, 10)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (Wanted("nectar", 1), refusals.UnknownProduct),
        (Wanted("quinces", 1), refusals.UnknownProduct),
        (Wanted("apples", 11), refusals.SoldOut),
        (Wanted("apples", 1, price=2), refusals.PriceChanged),
    ],
)
def test_a_refused_order_leaves_nothing_behind(wanted, refusal):
    product(stock=10)
    product("pears")
    Product.objects.filter(pk=product("quinces").pk).update(active=False)
    with pytest.raises(refusal) as refused:
        place(CUSTOMER, [Wanted("pears", 1), wanted], "demo-approve")
    assert "EUR" not in str(refused.value)
    assert (Order.objects.count(), Job.objects.count(), stock_of(), stock_of("pears")) == (0, 0, 10, 10)
    assert effects() == {}


def test_an_absurd_total_is_refused():
    product(price="9999.00", stock=99)
    with pytest.raises(refusals.TooLarge, match=r"at most €100,000\.00"):
        buy(quantity=99)


def test_the_same_key_again_is_the_same_order_and_one_charge():
    product(stock=1)
    first = buy(key="k")  # the last piece, so that the second one can't simply buy it again
    assert buy(key="k") == first
    assert effects() == {f"payments/authorization payment:{first.number}": 1}


def test_the_same_key_for_another_order_is_refused():
    product()
    buy(key="k")
    with pytest.raises(refusals.KeyReused):
        buy(key="k", quantity=2)
    assert Order.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_ten_clicks_at_once_are_one_order_and_one_charge():
    product(stock=1)
    orders = all_at_once(*[lambda: buy(key="k")] * 10)
    assert {order.number for order in orders} == {Order.objects.get().number}
    assert list(effects().values()) == [1]


@pytest.mark.django_db(transaction=True)
def test_fifty_buyers_of_ten_pieces_buy_exactly_ten():
    product(stock=10)
    results = all_at_once(*[buy] * 50)
    paid = [result for result in results if isinstance(result, Order)]
    assert [order.status for order in paid] == [Status.PAID] * 10
    assert [type(result) for result in results if result not in paid] == [refusals.SoldOut] * 40
    assert stock_of() == 0
    assert len(effects()) == 10


@pytest.mark.django_db(transaction=True)
def test_baskets_filled_in_opposite_order_do_not_block_each_other():
    product("apples", stock=100)
    product("pears", stock=100)

    def basket(*slugs: str):
        return lambda: place(CUSTOMER, [Wanted(slug, 1) for slug in slugs], "demo-decline")

    results = all_at_once(*[basket("apples", "pears"), basket("pears", "apples")] * 10)
    assert {getattr(result, "status", result) for result in results} == {Status.DECLINED}
    assert (stock_of("apples"), stock_of("pears")) == (100, 100)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"price": "3.00"}, refusals.PriceChanged),
        ({"stock": 0}, refusals.SoldOut),
        ({"active": False}, refusals.UnknownProduct),
    ],
)
def test_what_changes_in_the_very_moment_of_buying_is_not_sold(change, refusal):
    product(stock=10)
    with ThreadPoolExecutor(1) as buyer:
        with transaction.atomic():
            Product.objects.update(**change)
            bought = buyer.submit(all_at_once, buy)  # reads the product as it was, then waits for our row
            until(a_session_waits)
        (result,) = bought.result(30)
    assert isinstance(result, refusal)
    assert not Order.objects.exists()
    assert effects() == {}


@pytest.mark.django_db(transaction=True)
def test_of_all_who_settle_an_order_at_once_one_does_it():
    product(stock=10)
    order = place_only()
    paying, cancelling = settlement.mark_paid, settlement.cancel
    done = all_at_once(*[lambda verb=verb: verb(order.number) for verb in [paying, cancelling] * 8])
    assert sorted(done) == [False] * 15 + [True]
    order.refresh_from_db()
    ended = {Status.PAID: ("invoice", 7), Status.CANCELLED: ("void", 10)}
    kind, stock = ended[order.status]
    assert f"{kind}:{order.number}" in live_keys(order.number)
    assert stock_of() == stock


def test_pieces_are_not_reserved_for_ever():
    product(stock=10)
    old, new = place_only(), place_only()
    Order.objects.filter(pk=old.pk).update(created_at=Now() - settlement.UNPAID_LIMIT)
    settlement.release_unpaid()
    statuses = dict(Order.objects.values_list("number", "status"))
    assert statuses == {old.number: Status.CANCELLED, new.number: Status.PLACED}
    assert stock_of() == 7


def test_an_order_released_from_hold_ships_at_once():
    product(price="400.00")
    order = buy()
    attempt(f"fraud:{order.number}")
    assert attempt(f"shipment:{order.number}").state == State.WAITING
    assert settlement.release_hold(order.number)
    assert not settlement.release_hold(order.number)
    assert Job.objects.annotate(now=Now()).filter(key=f"shipment:{order.number}", run_at__lte=Now()).exists()
    attempt(f"shipment:{order.number}")
    assert effects(partner="warehouse") == {f"warehouse/shipment shipment:{order.number}": 1}


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (Order, {"status": "lost"}),
        (Order, {"total": -1}),
        (Order, {"status": Status.PAID, "paid_at": None}),
        (OrderLine, {"quantity": 0}),
        (OrderLine, {"unit_price": -1}),
    ],
)
def test_the_database_itself_refuses_nonsense(model, wrong):
    product()
    place_only()
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**wrong)
