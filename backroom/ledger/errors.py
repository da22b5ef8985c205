"""What a task's body may raise to say how it failed. The ledger retries after any other error."""

from typing import Any


class Permanent(Exception):
    """A retry can't help: the job becomes a dead letter at once."""


class Cancelled(Permanent):
    """A person cancelled this running job. `report`, `progress` and `resumable` raise it; a body may clean up."""


class _Later(Exception):
    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds

    def __reduce__(self) -> tuple:
        """Celery pickles the errors that it reports; without this it would report another one."""
        return type(self), (self.seconds, str(self))


class RetryAfter(_Later):
    """Retry, not before `seconds` from now (a partner's Retry-After). It uses an attempt."""


class Snooze(_Later):
    """Not now, through no fault of the job's: it waits `seconds` and uses no attempt."""


class Superseded(Exception):
    """This claim is no longer the job's current one: a rescue, a stop or a person has changed the job since."""

    def __init__(self, job: Any) -> None:
        super().__init__(f"claim {job.claims} of job {job.id} came too late")
