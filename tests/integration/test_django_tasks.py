"""Code written for Django's tasks runs on the ledger as it is: what their documentation promises of a backend."""

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from django_tasks import TaskResultStatus, exceptions, signals, task, task_backends

from backroom import Retry, testing
from backroom.ledger.models import Job
from backroom.runtime.django_tasks import _tasks
from tests.integration.attempts import body

pytestmark = pytest.mark.django_db

TASKS = {
    "default": {"BACKEND": "backroom.tasks.Backend", "QUEUES": ["default", "bulk"]},
    "once": {"BACKEND": "backroom.tasks.Backend", "OPTIONS": {"retry": Retry(attempts=1)}},
    "coalesced": {
        "BACKEND": "backroom.tasks.Backend",
        "OPTIONS": {"unique": ("coalesced:{args[0]}", "while waiting"), "expires": timedelta(minutes=1)},
    },
}

with override_settings(TASKS=TASKS):

    @task()
    def add(a: int, *more: int, factor: int = 1) -> int:
        return factor * sum((a, *more))

    @task()
    async def add_later(a: int, b: int) -> int:
        return a + b

    @task(takes_context=True)
    def attempt_number(context, wanted: int) -> list:
        if context.attempt < wanted:
            raise ConnectionError(f"attempt {context.attempt}")
        return [context.attempt, context.task_result.id]

    @task(backend="coalesced")
    def coalesced(number: int) -> int:
        return number

    @task(backend="once")
    def refuse(why: str) -> None:
        raise exceptions.TaskResultMismatch(why)


@pytest.fixture(autouse=True)
def _on_the_ledger(settings) -> None:
    settings.TASKS = TASKS


def test_a_task_is_a_job_of_its_name_and_its_result_is_kept():
    result = add.enqueue(1, 2, factor=10)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, [1, 2], {"factor": 10})
    assert (result.task, result.started_at, result.worker_ids) == (add, None, [])
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    assert result == add.get_result(result.id)
    (job,) = testing.run_jobs()
    assert (job.task, job.queue) == (add.module_path, "default")
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 30, 1)
    assert result.enqueued_at <= result.started_at <= result.finished_at


def test_a_rollback_takes_the_task_with_it():
    with transaction.atomic():
        result = add.enqueue(1)
        transaction.set_rollback(True)
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        add.get_result(result.id)


def test_a_coroutine_runs():
    result = add_later.enqueue(1, b=2)
    testing.run_jobs()
    result.refresh()
    assert result.return_value == 3


@pytest.mark.django_db(transaction=True)
def test_it_can_be_enqueued_and_read_by_a_coroutine():
    async def both() -> str:
        result = await add.aenqueue(1)
        return (await add.aget_result(result.id)).status

    assert async_to_sync(both)() == TaskResultStatus.READY


def test_a_task_goes_to_its_queue_at_its_time():
    add.using(queue_name="bulk", run_after=timezone.now() + timedelta(hours=1)).enqueue(1)
    job = Job.objects.get()
    assert (job.queue, job.state) == ("bulk", "waiting")
    assert testing.run_jobs() == []
    testing.advance(timedelta(hours=1))
    assert len(testing.run_jobs()) == 1


def test_a_failed_attempt_is_retried_and_a_task_can_ask_which_one_it_is():
    result = attempt_number.enqueue(2)
    testing.run_jobs(raising=False)
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)
    assert result.errors[0].exception_class is ConnectionError
    assert "attempt 1" in result.errors[0].traceback
    testing.advance(timedelta(minutes=1))
    testing.run_jobs()
    result.refresh()
    assert (result.return_value, result.worker_ids) == ([2, result.id], ["a test", "a test"])


def test_a_dead_letter_has_failed():
    result = refuse.enqueue("never")
    testing.run_jobs(raising=False)
    result.refresh()
    assert (result.status, result.is_finished) == (TaskResultStatus.FAILED, True)
    assert result.errors[0].exception_class is exceptions.TaskResultMismatch
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_the_options_of_a_backend_make_its_tasks_unique_and_let_them_expire():
    first = coalesced.enqueue(1)
    assert coalesced.enqueue(1).id == first.id
    assert coalesced.enqueue(2).id != first.id
    assert all(job.expires_at for job in Job.objects.all())


def test_another_backend_of_a_task_has_attempts_of_its_own():
    add.using(backend="once").enqueue(1)
    assert [job.max_attempts for job in testing.enqueued(_tasks[add.module_path])] == [1]


@pytest.mark.parametrize("id", ["123", str(uuid.NAMESPACE_DNS), "a job of another kind"])
def test_what_is_none_of_djangos_tasks_has_no_result(id):
    if " " in id:
        id = body.enqueue("now")
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        task_backends["default"].get_result(id)


@pytest.mark.parametrize("options", [{"priority": 5}, {"queue_name": "unknown"}])
def test_what_the_ledger_can_not_do_is_refused(options):
    with pytest.raises(exceptions.InvalidTaskError):
        add.using(**options)


def test_enqueueing_sends_djangos_signal():
    heard = []
    signals.task_enqueued.connect(lambda task_result, **_: heard.append(task_result.id), weak=False, dispatch_uid="t")
    try:
        assert [add.enqueue(1).id] == heard
    finally:
        signals.task_enqueued.disconnect(dispatch_uid="t")
