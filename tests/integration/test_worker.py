"""An attempt in a worker: what a body may raise or return, and what the ledger then says."""

import uuid
from collections.abc import Iterator
from threading import Thread

import pytest
from celery.exceptions import Ignore, Retry
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from backroom import Permanent, RetryAfter, Snooze, enqueue_all, task
from backroom.ledger import operations, transitions
from backroom.ledger.models import Job
from backroom.outbound.errors import Away
from backroom.runtime import execution
from tests.integration.attempts import atomic_body, attempt, bodies, body, raising
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@task(name="tests.renamed", renamed={"number": "order"})
def renamed(order: int, source: str = "web") -> list:
    return [order, source]


@pytest.fixture(autouse=True)
def _bodies() -> Iterator[None]:
    yield
    bodies.clear()


def test_a_result_is_kept():
    assert attempt(lambda: {"n": 1}).result == {"n": 1}


@pytest.mark.parametrize("result", [object(), float("nan"), "\x00", "\ud800"])
def test_a_result_that_can_not_be_stored_is_a_dead_letter_at_once(result):
    for of in (body, atomic_body):
        job = attempt(lambda: result, of)
        assert (job.state, job.attempts) == ("dead", 1)
        assert "can't be stored" in job.error


@pytest.mark.parametrize(
    "error", [ValueError("\x00"), ValueError("\ud800"), ProtectedError("protected", set()), MemoryError(), OSError("x")]
)
def test_whatever_is_raised_is_written_down_and_tried_again(error):
    job = attempt(raising(error))
    assert (job.state, job.attempts) == ("waiting", 1)
    assert type(error).__name__ in job.error


def test_a_snooze_uses_no_attempt_and_permanent_is_the_end():
    assert attempt(raising(Snooze(60, "later"))).attempts == 0
    assert attempt(raising(Permanent("never"))).state == "dead"


@pytest.mark.parametrize("error", [Snooze(60, "later"), RetryAfter(60, "busy"), Away(60, "resting")])
def test_celery_gets_the_error_itself(error):
    bodies["now"] = raising(error)
    with pytest.raises(Retry) as caught:
        execution.perform(body, body.enqueue("now"))
    assert type(caught.value.exc) is type(error)


def test_no_row_of_the_database_is_quoted_in_an_error_not_even_in_a_chained_one(caplog):
    def collide() -> None:
        for _ in range(2):
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO django_session VALUES ('secret.person@example.org', '', now())"  # the primary key
                )

    def wrap() -> None:
        try:
            collide()
        except IntegrityError as error:
            raise RuntimeError("could not") from error

    for function in (collide, wrap):
        bodies["now"] = function
        with pytest.raises(Retry) as caught:
            execution.perform(body, body.enqueue("now"))
        seen = [caught.value.exc, caught.value.exc.__cause__, caught.value.exc.__context__]
        assert "secret.person" not in repr(seen)
        Session.objects.all().delete()
    assert not Job.objects.filter(error__contains="secret.person").exists()


def test_the_work_of_an_atomic_task_is_undone_with_its_failure():
    def work() -> None:
        Session.objects.create(session_key="a", expire_date="2030-01-01T00:00Z")
        raise OSError

    assert attempt(work, atomic_body).state == "waiting"
    assert not Session.objects.exists()


def test_a_finish_outlasts_a_lost_connection_and_the_body_runs_once():
    def lose_the_connection() -> str:
        connection.ensure_connection()
        pid = connection.connection.info.backend_pid
        # psycopg notices only at the next statement, as when the database was restarted under a running body
        killer = connection.copy()
        with killer.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        killer.close()
        return "done"

    job = attempt(lose_the_connection)
    assert (job.state, job.claims, job.result) == ("succeeded", 1, "done")


def of_another_version(arguments: dict) -> str:
    """The id of a job that another version of the code enqueued."""
    id = renamed.enqueue(1)
    Job.objects.filter(id=id).update(args=arguments)
    return id


def test_a_job_enqueued_under_an_arguments_former_name_runs_and_a_new_argument_has_its_default():
    assert execution.perform(renamed, of_another_version({"number": 7})) == [7, "web"]


@pytest.mark.parametrize("arguments", [{"order": 1, "colour": "red"}, {"basket": 1}, {}])
def test_a_job_whose_arguments_nobody_knows_is_handed_on_and_then_a_dead_letter_that_says_so(
    arguments, settings, caplog
):
    id = of_another_version(arguments)
    with pytest.raises(Ignore):
        execution.perform(renamed, id)
    job = Job.objects.get(id=id)
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "Traceback" not in caplog.text + job.error
    settings.BACKROOM_DEPLOY_WINDOW = 0
    Job.objects.update(state="ready")
    with pytest.raises(Ignore):
        execution.perform(renamed, id)
    job.refresh_from_db()
    assert job.state == "dead"
    assert job.error.startswith("tests.renamed: ")
    assert "argument" in job.error


def test_a_job_that_can_not_be_claimed_is_ignored():
    with pytest.raises(Ignore):
        execution.perform(body, str(uuid.uuid4()))


def test_cancelling_a_job_that_is_being_claimed_leaves_its_followers():
    bodies["now"] = lambda: None
    (head,) = enqueue_all(body.call("now").then(atomic_body.call("now")))
    cancelled: list[str] = []

    def cancel() -> None:
        try:
            cancelled.extend(operations.cancel(ids=[head], dead=True))
        finally:
            connection.close()

    def a_session_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    thread = Thread(target=cancel)
    with transaction.atomic():
        transitions.claim(head, "a")
        thread.start()
        until(a_session_waits)
    thread.join()
    assert cancelled == []
    assert Job.objects.get(after_id=head).state == "waiting"
