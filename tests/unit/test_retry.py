"""When a failed job runs again: a pure value, so nothing but Python is needed here."""

import pytest

from backroom import Permanent, Retry, RetryAfter, Snooze
from backroom.ledger.retry import Verdict, judge

POLICY = Retry(attempts=4, first=2, cap=5, jitter=0.5)


def test_delays_double_up_to_the_cap():
    assert [POLICY.delay(attempt, 0.5) for attempt in (1, 2, 3, 1000)] == [2, 4, 5, 5]


def test_jitter_spreads_around_the_delay():
    assert POLICY.delay(1, 0.0) == 1
    assert POLICY.delay(1, 0.999999) == pytest.approx(3, abs=0.001)


def test_a_passing_fault_waits_and_uses_an_attempt():
    assert judge(OSError("x"), POLICY, 1, 4, 0.5) == Verdict("waiting", 2, uses_attempt=True)


def test_the_last_attempt_is_the_last():
    assert judge(OSError("x"), POLICY, 4, 4).state == "dead"


def test_a_permanent_error_is_dead_at_once():
    assert judge(Permanent("x"), POLICY, 1, 4).state == "dead"


def test_a_snooze_uses_no_attempt_even_at_the_last():
    assert judge(Snooze(30, "not now"), POLICY, 4, 4) == Verdict("waiting", 30, uses_attempt=False)


def test_retry_after_is_obeyed_where_it_is_longer():
    assert judge(RetryAfter(60, "busy"), POLICY, 1, 4, 0.5).seconds == 60
    assert judge(RetryAfter(1, "busy"), POLICY, 1, 4, 0.5).seconds == 2
    assert judge(RetryAfter(1, "busy"), POLICY, 4, 4).state == "dead"


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": -1}, {"first": 9, "cap": 8}, {"jitter": 1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="makes no sense"):
        Retry(**wrong)
