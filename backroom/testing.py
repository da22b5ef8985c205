"""Jobs in a project's tests: which were enqueued, and what they do, without a worker, a dispatcher or a broker.

    class Buying(TestCase):
        def test_the_receipt_is_mailed(self):
            self.client.post("/buy/", ...)
            self.assertEqual(len(testing.enqueued(mail_receipt, order.pk)), 1)
            testing.run_jobs()
            self.assertEqual(len(mail.outbox), 1)

Claims, finishes, retries and followers are the ledger's own statements. Works in a test's transaction, too.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import wraps
from types import SimpleNamespace
from unittest.mock import patch

from celery import Task, current_app
from celery.exceptions import Ignore, Retry
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from psycopg.pq import TransactionStatus

from backroom.ledger import batches, transitions
from backroom.ledger.errors import Snooze
from backroom.ledger.lanes import open_lanes
from backroom.ledger.models import Batch, Job, Unique
from backroom.runtime import broker, heartbeat
from backroom.runtime.task import LedgerTask


def enqueued(task: LedgerTask, *args: object, **kwargs: object) -> list[Job]:
    """The jobs of this task in any state, in the order of enqueueing; only those whose arguments contain the given
    ones, as PostgreSQL's `@>` compares JSON."""
    wanted = task.parameters.bind_partial(*args, **kwargs).arguments
    found = Job.objects.filter(task=task.name, args__contains=wanted).order_by("id")
    return list(found)


def run_jobs(raising: bool = True, limit: int = 1000) -> list[Job]:
    """Run all due jobs in order, and those that they make due. Returns each job that ran, read anew.

    Raises the error of the first attempt that fails, after the ledger has it; not with `raising=False`. A retry waits:
    see `advance`. Raises AssertionError if jobs are still due after `limit` attempts.

    Limit: in a test's transaction an error of the database undoes all that the body did in the database. A worker would
    keep what the body had committed.
    """
    ran: dict[str, None] = {}
    with _as_a_worker():
        for number in range(limit + 1):
            Batch.objects.update(count_again_at=Now())
            batches.look(limit)
            transitions.stage_due(limit)
            open_lanes()
            job = Job.objects.filter(state="ready").order_by(Coalesce("run_at", "published_at"), "id").first()
            if job is None:
                return [Job.objects.get(id=id) for id in ran]
            if number == limit:
                break
            ran[str(job.id)] = None
            if (error := _run(current_app.tasks[job.task], str(job.id))) and raising:
                raise error
    raise AssertionError(f"jobs are still due after {limit} attempts: does one enqueue itself for ever?")


def advance(by: timedelta) -> None:
    """Move the due time of all waiting jobs earlier by this much, and the end of what expires. Those parked in a lane
    have none. Raises TypeError for what is no timedelta."""
    if not isinstance(by, timedelta):
        raise TypeError(f"time advances by a timedelta, not {by!r}")
    Job.objects.filter(state="waiting").exclude(place__lte=0).update(run_at=F("run_at") - by)
    Job.objects.update(expires_at=F("expires_at") - by)
    Unique.objects.update(until=F("until") - by)


@contextmanager
def _as_a_worker() -> Iterator[None]:
    """Let this process claim jobs. It publishes none, as if the broker were away."""
    with patch.object(heartbeat, "worker_name", "a test"), patch.object(broker, "switch", SimpleNamespace(is_off=True)):
        yield


def _run(task: Task, id: str) -> Exception | None:
    """One attempt, called as Celery's worker does. Returns its error."""
    with ExitStack() as stack:
        if connection.in_atomic_block:
            stack.enter_context(patch.object(task, "run", _in_savepoint(task.run)))
        task.push_request(id=id, called_directly=False)
        stack.callback(task.pop_request)
        try:
            task()
        except Ignore:
            return None
        except Retry as retry:
            return None if isinstance(retry.exc, Snooze) else retry.exc
        except Exception as error:
            return error
    return None


def _in_savepoint(body: Callable[..., object]) -> Callable[..., object]:
    """The body in a savepoint: after an error of the database PostgreSQL refuses all else until it is rolled back."""

    @wraps(body)
    def run(**args: object) -> object:
        with transaction.atomic():
            try:
                return body(**args)
            except Exception as error:
                status = connection.connection.info.transaction_status
                if connection.needs_rollback or status == TransactionStatus.INERROR:
                    raise
                failed = error
        raise failed

    return run
