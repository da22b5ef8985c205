"""Dependable Celery tasks for Django: a ledger of jobs in PostgreSQL, with retries, dead letters and rescue.

    @task(queue="critical", key="receipt:{number}", retry=Retry(attempts=8))
    def mail_receipt(number: int) -> None:
        emails.send_receipt(number)

    mail_receipt.enqueue(1001)  # in the caller's transaction

Importing this package starts nothing. docs/adopt.md shows how to use it.
"""

from backroom.ledger.errors import Permanent, RetryAfter, Snooze
from backroom.ledger.retry import Retry
from backroom.observe.progress import progress, report
from backroom.runtime.backpressure import Overloaded
from backroom.runtime.batch import batch, grow
from backroom.runtime.call import Call
from backroom.runtime.duplicates import Duplicate
from backroom.runtime.enqueue import enqueue_all, enqueue_many
from backroom.runtime.resumable import resumable
from backroom.runtime.task import task

__all__ = [
    "Call", "Duplicate", "Overloaded", "Permanent", "Retry", "RetryAfter", "Snooze", "batch", "enqueue_all",
    "enqueue_many", "grow", "progress", "report", "resumable", "task",
]  # fmt: skip
