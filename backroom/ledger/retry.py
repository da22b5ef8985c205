"""When a failed job runs again: a pure value, declared beside the task.

Modelled on procrastinate's retry strategy. Jitter keeps jobs that failed together from returning together.
"""

import random
from dataclasses import dataclass
from typing import Literal

from backroom.ledger import db_errors
from backroom.ledger.errors import Cancelled, Permanent, RetryAfter, Snooze

DATABASE_PAUSE = 10.0  # seconds, roughly, that a job waits after a full disk or a lock timeout


@dataclass(frozen=True)
class Retry:
    """At most `attempts` tries; seconds between them: `first`, doubling, at most `cap`, ± `jitter` of it."""

    attempts: int = 8
    first: float = 2.0
    cap: float = 600.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.cap < self.first or not 0 <= self.jitter < 1:
            raise ValueError(f"{self} makes no sense: attempts >= 1, 0 <= first <= cap, 0 <= jitter < 1")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); `chance` is random, in [0, 1)."""
        base = min(self.cap, self.first * 2.0 ** min(attempt - 1, 60))
        return base * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True)
class Verdict:
    """The consequence of a failed attempt."""

    state: Literal["waiting", "dead"]
    seconds: float = 0.0
    uses_attempt: bool = True


def judge(error: Exception, policy: Retry, attempt: int, allowed: int, chance: float | None = None) -> Verdict:
    """Decide on failed attempt number `attempt` (from 1) of `allowed` ones. The job's row has `allowed`, as it may be
    older than the policy. Pure, but for the random number where `chance` is not given."""
    if isinstance(error, Snooze):
        return Verdict("waiting", error.seconds, uses_attempt=False)
    chance = random.random() if chance is None else chance  # noqa: S311
    if db_errors.code(error) in db_errors.NOT_THE_JOBS_FAULT:
        return Verdict("waiting", DATABASE_PAUSE * (0.5 + chance), uses_attempt=False)
    if isinstance(error, Cancelled):  # the ledger cancels the job, unless a person has replayed it since
        return Verdict("waiting", 1, uses_attempt=False)
    if isinstance(error, Permanent) or attempt >= allowed:
        return Verdict("dead")
    delay = policy.delay(attempt, chance)
    if isinstance(error, RetryAfter):
        delay = max(delay, error.seconds)
    return Verdict("waiting", delay)
