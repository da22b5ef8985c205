"""When a failed job runs again, for any policy, attempt and die."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from backroom import Permanent, Retry, RetryAfter, Snooze
from backroom.ledger.retry import Verdict, judge

PROFILE = settings(derandomize=True, database=None, deadline=None)

seconds, chance, attempt = st.floats(0, 1e9), st.floats(0, 1, exclude_max=True), st.integers(1, 10_000)
policy = st.builds(lambda span, jitter: Retry(1, *sorted(span), jitter), st.tuples(seconds, seconds), chance)
failure = st.sampled_from([OSError("x"), Permanent("x")]) | st.builds(RetryAfter, seconds, st.just("x"))


@PROFILE
@given(policy, attempt, chance)
def test_a_delay_is_never_negative_nor_over_its_cap_and_grows_until_there(policy, attempt, chance):
    plain = replace(policy, jitter=0.0)
    assert 0 <= policy.delay(attempt, chance) <= policy.cap * (1 + policy.jitter)
    assert plain.first <= plain.delay(attempt, chance) <= plain.delay(attempt + 1, chance) <= plain.cap


@PROFILE
@given(failure, policy, attempt, attempt, chance)
def test_a_failure_is_the_last_if_it_is_permanent_or_the_last_allowed(error, policy, attempt, allowed, chance):
    verdict = judge(error, policy, attempt, allowed, chance)
    delay = max(policy.delay(attempt, chance), getattr(error, "seconds", 0))
    last = isinstance(error, Permanent) or attempt >= allowed
    assert verdict == (Verdict("dead") if last else Verdict("waiting", delay))


@PROFILE
@given(seconds, policy, attempt, attempt, chance)
def test_a_snooze_never_ends_a_job(seconds, policy, attempt, allowed, chance):
    verdict = judge(Snooze(seconds, "x"), policy, attempt, allowed, chance)
    assert verdict == Verdict("waiting", seconds, uses_attempt=False)
