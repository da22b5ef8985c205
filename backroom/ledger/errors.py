"""What a task's body may raise to say how it failed. Anything else is taken for a passing fault and tried again."""


class Permanent(Exception):
    """Trying again can't help: the job becomes a dead letter at once."""


class _Later(Exception):
    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds

    def __reduce__(self) -> tuple:
        """Celery pickles what it reports, and tells what it can't as something else."""
        return type(self), (self.seconds, str(self))


class RetryAfter(_Later):
    """Try again, not before `seconds` from now (a partner's Retry-After). Uses an attempt."""


class Snooze(_Later):
    """Not now, through no fault of the job's: it waits `seconds` and no attempt is used."""


class Superseded(Exception):
    """This attempt is no longer the job's current one: it was taken for lost and given to another worker."""


class Unwritten(Exception):
    """The database was in trouble for so long that something about a job could not be written down."""
