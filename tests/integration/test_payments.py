"""The gateway's client against the real gateway: what is charged, and how long a customer may be kept waiting."""

import time
from decimal import Decimal

import pytest

from jobs import Permanent
from jobs.http import PartnerUnavailable
from orders import payments
from tests.integration.buying import effects, fault

pytestmark = pytest.mark.usefixtures("partners")


def authorize(number: int = 1001, card: str = "demo-approve", amount: str = "12.4") -> str:
    return payments.authorize(number, Decimal(amount), "EUR", card)


def test_a_card_is_charged_once_however_often_it_is_asked():
    assert [authorize(), authorize()] == [payments.APPROVED] * 2
    assert effects() == {"payments/charge payment:1001": 1}


def test_a_declined_card_is_not_charged():
    assert authorize(card="demo-decline") == payments.DECLINED
    assert payments.find(1001) == payments.DECLINED
    assert effects() == {}


def test_another_amount_under_the_same_key_is_refused_for_good():
    authorize()
    with pytest.raises(Permanent):
        authorize(amount="0.01")


def test_the_gateway_knows_nothing_of_an_order_it_never_saw():
    assert payments.find(1001) is None


def test_a_voided_charge_is_given_back_once():
    authorize()
    payments.void(1001)
    payments.void(1001)
    assert payments.find(1001) == payments.VOIDED
    assert effects() == {"payments/charge payment:1001": 1, "payments/void payment:1001": 1}


def test_a_void_that_overtakes_its_charge_stops_it():
    payments.void(1001)
    assert authorize() == payments.VOIDED
    assert effects() == {}


@pytest.mark.parametrize("trouble", [{"hang": True}, {"latency_ms": 60_000}])
def test_nobody_waits_for_a_silent_gateway_longer_than_its_timeout(trouble):
    fault("payments", **trouble)
    started = time.monotonic()
    with pytest.raises(PartnerUnavailable):
        authorize()
    assert 1.9 < time.monotonic() - started < 3


@pytest.mark.parametrize("trouble", [{"down": True}, {"error_rate": 1}, {"status": 503}, {"accept_then_fail": True}])
def test_a_broken_answer_is_no_answer(trouble):
    fault("payments", **trouble)
    with pytest.raises(PartnerUnavailable):
        authorize()


def test_a_slow_bank_is_pending_until_it_has_decided():
    with pytest.raises(PartnerUnavailable):
        authorize(card="demo-slow")
    assert payments.find(1001) == payments.PENDING


def test_a_gateway_that_nobody_listens_for_is_unavailable(settings):
    settings.PARTNERS_URL = "http://127.0.0.1:9"
    with pytest.raises(PartnerUnavailable):
        authorize()
