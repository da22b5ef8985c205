"""The payment client authorizes, captures, voids and refunds at the real gateway, each within its timeout."""

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import pytest

from backroom import Permanent
from backroom.outbound.http import Conflict, PartnerUnavailable
from orders import payments
from tests.integration.buying import effects, fault

pytestmark = pytest.mark.usefixtures("partners")


def authorize(number: int = 1001, card: str = "demo-approve", amount: str = "12.4") -> str:
    return payments.authorize(number, Decimal(amount), "EUR", card)


def test_money_is_reserved_once_however_often_it_is_asked():
    assert [authorize(), authorize()] == [payments.APPROVED] * 2
    assert effects() == {"payments/authorization payment:1001": 1}


def test_a_declined_card_reserves_nothing():
    assert authorize(card="demo-decline") == payments.DECLINED
    assert payments.find(1001) == payments.DECLINED
    assert effects() == {}


def test_another_amount_under_the_same_key_is_refused_for_good():
    authorize()
    with pytest.raises(Permanent):
        authorize(amount="0.01")


def test_the_gateway_knows_nothing_of_an_order_it_never_saw():
    assert payments.find(1001) is None


def test_money_that_was_only_reserved_is_let_go_once():
    authorize()
    payments.void(1001)
    payments.void(1001)
    assert payments.find(1001) == payments.VOIDED
    assert effects() == {"payments/authorization payment:1001": 1, "payments/void void:1001": 1}


def test_a_void_that_overtakes_its_authorization_stops_it():
    payments.void(1001)
    assert authorize() == payments.VOIDED
    assert effects() == {}


def test_money_is_taken_once_and_given_back_once():
    authorize()
    for _ in range(2):
        payments.capture(1001)
    for _ in range(2):
        assert payments.refund(1001) == payments.REFUNDED
    payments.capture(1001)  # a late repetition of what was done already
    assert payments.find(1001) == payments.REFUNDED
    assert effects() == {
        "payments/authorization payment:1001": 1,
        "payments/charge capture:1001": 1,
        "payments/refund refund:1001": 1,
    }


def test_what_was_let_go_can_not_be_taken_and_what_was_taken_not_be_let_go():
    authorize()
    assert [payments.refund(1001), payments.refund(1001)] == [payments.VOIDED] * 2
    with pytest.raises(Conflict):
        payments.capture(1001)
    authorize(1002)
    payments.capture(1002)
    with pytest.raises(Conflict):
        payments.void(1002)
    assert effects(order="1001").keys() == {"payments/authorization payment:1001", "payments/void void:1001"}
    assert effects(order="1002").keys() == {"payments/authorization payment:1002", "payments/charge capture:1002"}


def test_of_captures_and_cancellations_at_once_the_gateway_takes_one_side():
    for number in range(1001, 1021):
        authorize(number)
    takers = [partial(payments.capture, number) for number in range(1001, 1021) for _ in range(2)]
    givers = [partial(payments.refund, number) for number in range(1001, 1021) for _ in range(2)]
    mixed = [call for pair in zip(takers, givers, strict=True) for call in pair]
    with ThreadPoolExecutor(8) as pool:
        done = [future.exception() for future in [pool.submit(call) for call in mixed]]
    assert {type(error) for error in done} <= {type(None), Conflict}
    for number in range(1001, 1021):
        had = effects(order=str(number))
        assert set(had.values()) == {1}
        money = {name.split()[0].removeprefix("payments/") for name in had}
        assert money in ({"authorization", "void"}, {"authorization", "charge", "refund"})


@pytest.mark.parametrize("trouble", [{"hang": True}, {"latency_ms": 60_000}, {"trickle_ms": 50}])
def test_no_call_waits_for_a_silent_gateway_longer_than_its_timeout(trouble):
    fault("payments", **trouble)
    started = time.monotonic()
    with pytest.raises(PartnerUnavailable):
        authorize()
    assert 1.9 < time.monotonic() - started < 6


@pytest.mark.parametrize(
    "trouble",
    [
        {"down": True},
        {"error_rate": 1},
        {"status": 503},
        {"accept_then_fail": True},
        {"truncate": True},
        {"garbage": True},
    ],
)
def test_a_broken_answer_is_no_answer(trouble):
    fault("payments", **trouble)
    with pytest.raises(PartnerUnavailable):
        authorize()


def test_a_slow_bank_is_pending_until_it_has_decided():
    with pytest.raises(PartnerUnavailable):
        authorize(card="demo-slow")
    assert payments.find(1001) == payments.PENDING


def test_a_gateway_without_a_listener_is_unavailable(settings):
    settings.BACKROOM_PARTNERS_URL = "http://127.0.0.1:9"
    with pytest.raises(PartnerUnavailable):
        authorize()
