"""An attempt in a worker: what a body may raise or return, and what the ledger then says."""

import json
import traceback
import uuid
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from signal import SIGKILL
from subprocess import PIPE, Popen
from threading import Thread
from types import SimpleNamespace

import pytest
from celery import current_app
from celery.concurrency.base import BasePool
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from kombu import Connection, Queue

from backroom import Permanent, RetryAfter, Snooze, enqueue_all, task
from backroom.ledger import operations, transitions
from backroom.ledger.limits import LIMIT, LINE
from backroom.ledger.models import Job
from backroom.outbound.errors import Away
from backroom.runtime import execution, heartbeat, pulse, worker
from backroom.runtime.consumer import Consumer
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.pulse import Pulse
from tests.integration.attempts import atomic_body, attempt, bodies, body, raising
from tests.integration.sick_database import a_session_waits, another_session
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


NESTED: list = []
for _ in range(20):
    NESTED = [NESTED]
DEEP = json.loads("[" * 900 + "]" * 900)


@pytest.mark.parametrize("result", [object(), float("nan"), "\x00", "\ud800", NESTED, DEEP])
def test_a_result_that_can_not_be_stored_is_a_dead_letter_at_once(result):
    for of in (body, atomic_body):
        job = attempt(lambda: result, of)
        assert (job.state, job.attempts) == ("dead", 1)
        assert "can't be stored" in job.error


class Unreadable(Exception):
    def __str__(self) -> str:
        raise KeyError("nothing")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("\x00"), ValueError("\ud800"), ProtectedError("protected", set()), MemoryError(), OSError("x"),
        Unreadable(), SystemExit("why"), CancelledError("why"),
    ],
)  # fmt: skip
def test_whatever_is_raised_is_written_down_and_tried_again(error):
    job = attempt(raising(error))
    assert (job.state, job.attempts) == ("waiting", 1)
    assert type(error).__name__ in job.error


def circle() -> None:
    """Three errors, each the cause of the next."""
    ring = [ValueError("a"), ValueError("b"), ValueError("c")]
    for error, cause in zip(ring, ring[1:] + ring[:1], strict=True):
        error.__cause__ = cause
    raise ring[0]


def itself() -> None:
    try:
        raise ValueError("x")
    except ValueError as error:
        raise error from error


def groups_in_groups() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(2_000):
        error = ExceptionGroup("group", [error])
    raise error


def a_long_chain() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(3_000):
        error, error.__cause__ = ValueError("outer"), error
    raise error


@pytest.mark.timeout(10)
@pytest.mark.parametrize("work", [circle, itself, groups_in_groups, a_long_chain])
def test_an_error_of_any_shape_is_written_down(work):
    job = attempt(work)
    assert (job.state, job.attempts) == ("waiting", 1)
    assert job.error.startswith(("ValueError", "ExceptionGroup"))


def test_an_error_for_which_celery_would_end_the_worker_fails_its_attempt_only():
    bodies["now"] = raising(MemoryError("too large"))
    id = body.enqueue("now")
    with pytest.raises(Exception, match="MemoryError: too large") as caught:
        execution.perform(body, id)
    assert not isinstance(getattr(caught.value, "exc", caught.value), MemoryError)


@pytest.mark.parametrize("error", [ValueError("x" * 1_000_000), Permanent({"x": "y" * 1_000_000}), Unreadable()])
def test_what_is_kept_and_shown_of_an_error_is_bounded(error):
    bodies["now"] = raising(error)
    id = body.enqueue("now")
    with pytest.raises(Exception, match=type(error).__name__) as caught:
        execution.perform(body, id)
    job, shown = Job.objects.get(id=id), caught.value
    assert len(job.error) <= LIMIT
    assert "Traceback" in job.error
    assert len(job.error.partition("\n")[0]) <= LINE
    assert len(repr(shown)) + len(repr(shown.__cause__)) + len(repr(getattr(shown, "exc", ""))) < LIMIT


def test_a_result_too_large_for_a_follower_is_a_dead_letter_that_says_so():
    for of in (body, atomic_body):
        job = attempt(lambda: "x" * LIMIT, of)
        assert (job.state, job.attempts, job.result) == ("dead", 1, None)
        assert "the task returned 8,002 bytes, over 8,000" in job.error
    assert attempt(lambda: "x" * (LIMIT - 2)).state == "succeeded"


def test_a_body_that_sigterm_ends_is_left_to_the_rescue(monkeypatch):
    """The main process sends it, and decides: at the hard time limit, or for a person."""
    monkeypatch.setattr("billiard.common._should_have_exited", [True])
    bodies["now"] = raising(SystemExit(-241))
    id = body.enqueue("now")
    with pytest.raises(SystemExit):
        execution.perform(body, id)
    assert Job.objects.get(id=id).state == "running"


def fails() -> None:
    raise SoftTimeLimitExceeded


def is_stopped() -> None:
    pulse.requeue_unfinished("tests")


def is_terminated() -> None:
    worker.mark_terminated(str(Job.objects.get().id), "tests")


@pytest.mark.parametrize("end", [fails, is_stopped, is_terminated])
def test_the_subprocesses_of_a_body_end_when_it_is_cut(end, monkeypatch):
    monkeypatch.setattr(heartbeat, "worker_name", "tests")
    started: list[Popen] = []

    def work() -> None:
        # In a session of its own, with a child of its own, which holds its output open.
        started.append(Popen(["setsid", "sh", "-c", "sleep 100 & echo started; wait"], stdout=PIPE))
        assert started[0].stdout.readline() == b"started\n"
        end()

    attempt(work)
    assert started[0].communicate(timeout=60) == (b"", None)
    assert started[0].returncode == -SIGKILL


def test_a_snooze_uses_no_attempt_and_permanent_is_the_end():
    assert attempt(raising(Snooze(60, "later"))).attempts == 0
    assert attempt(raising(Permanent("never"))).state == "dead"


@pytest.mark.parametrize("error", [Snooze(60, "later"), RetryAfter(60, "busy"), Away(60, "resting")])
def test_celery_gets_the_error_itself(error):
    bodies["now"] = raising(error)
    with pytest.raises(Retry) as caught:
        execution.perform(body, body.enqueue("now"))
    assert type(caught.value.exc) is type(error)


SECRET = "secret.person"


def collide() -> None:
    """The error's DETAIL quotes the row, which has a line break."""
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_session VALUES (%s, '', now())", [f"Jane\n{SECRET}"])  # the primary key


def wrap() -> None:
    try:
        collide()
    except IntegrityError as error:
        raise RuntimeError("could not") from error


def interpolate() -> None:
    try:
        collide()
    except IntegrityError as error:
        raise RuntimeError(f"could not: {error}") from None


def annotate() -> None:
    try:
        collide()
    except IntegrityError as error:
        refused = ValueError("refused")
        refused.add_note(f"    {error}".replace("\n", "\n    "))
        raise refused from None


def group() -> None:
    errors: list[Exception] = []
    for work in (interpolate, collide):
        try:
            work()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("all failed", [ExceptionGroup("one", errors[:1]), *errors[1:]])


def represent() -> None:
    try:
        collide()
    except IntegrityError as error:
        raise KeyError(str(error)) from RuntimeError([error])


def quote_the_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text, no_column", [SECRET])


@pytest.mark.parametrize("work", [collide, wrap, interpolate, annotate, group, represent, quote_the_statement])
def test_no_row_of_the_database_is_quoted_in_any_part_of_an_error(work, caplog):
    bodies["now"] = work
    with pytest.raises(Retry) as caught:
        execution.perform(body, body.enqueue("now"))
    shown = caught.value.exc
    assert SECRET not in "".join([*traceback.format_exception(shown), repr(shown), repr(caught.value)])
    error = Job.objects.get().error
    assert SECRET not in error + caplog.text
    assert "Traceback" in error


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
    assert job.error.startswith("tests.renamed(order: int, source: str = 'web'): ")
    assert "argument" in job.error


def test_a_message_with_the_name_of_another_task_does_not_run_its_body():
    """A job's id decides the row, and the message's task the body: a stranger may pair any two."""
    ran: list[str] = []
    bodies["now"] = lambda: ran.append("another task's body")
    id = atomic_body.enqueue("now")
    with pytest.raises(Ignore):
        execution.perform(body, id)
    assert (Job.objects.get(id=id).state, ran) == ("ready", [])
    execution.perform(atomic_body, id)
    assert Job.objects.get(id=id).state == "succeeded"


def test_a_job_that_can_not_be_claimed_is_ignored():
    with pytest.raises(Ignore):
        execution.perform(body, str(uuid.uuid4()))


def test_no_heartbeat_outlives_a_worker_that_stopped():
    late = Pulse()
    late.heartbeat, late.consumer = Heartbeat("worker", "tests/late"), SimpleNamespace(queues="default", turned_at=inf)
    late.thread = Thread(target=lambda: (late._run(BasePool(1)), connection.close()))
    with another_session() as other:
        other.execute("INSERT INTO backroom_heartbeat (name, role, queues) VALUES ('tests/late', 'worker', '')")
        late.thread.start()
        until(a_session_waits)  # its first heartbeat is on its way
        stop = Thread(target=lambda: (late.stop(), connection.close()))
        stop.start()
        stop.join(0.5)
        assert stop.is_alive(), "it waits for that heartbeat"
        other.rollback()
    stop.join()
    late.thread.join()
    assert heartbeat.alive("worker") == []


def test_a_worker_without_its_broker_still_serves_its_queues_but_not_one_that_it_gave_up():
    consumer = Consumer.__new__(Consumer)  # without its steps, which need a pool
    with Connection("memory://") as broker:
        consumer.task_consumer = current_app.amqp.TaskConsumer(broker, queues=[Queue("bulk"), Queue("default")])
        consumer.task_consumer.consume()
        for ends in (lambda: None, consumer.task_consumer.cancel):  # as Celery does before it reconnects
            ends()
            consumer.turn()
            assert consumer.queues == "bulk,default"
        consumer.task_consumer.cancel_by_queue("bulk")
        consumer.turn()
        assert consumer.queues == "default"


def test_cancelling_a_job_that_is_being_claimed_leaves_its_followers():
    bodies["now"] = lambda: None
    (head,) = enqueue_all(body.call("now").then(atomic_body.call("now")))
    cancelled: list[str] = []

    def cancel() -> None:
        try:
            cancelled.extend(operations.cancel(ids=[head], dead=True))
        finally:
            connection.close()

    thread = Thread(target=cancel)
    with transaction.atomic():
        transitions.claim(head, "a")
        thread.start()
        until(a_session_waits)
    thread.join()
    assert cancelled == []
    assert Job.objects.get(after_id=head).state == "waiting"


@task(name="tests.ticks", key="tick:{slot}", bind=True)
def ticks(self, slot: int, how: str) -> str:
    if how == "replace":
        raise self.replace(body.s("now"))
    return ticks.enqueue(slot, how)


def test_a_job_that_enqueues_itself_under_its_own_key_fails_with_a_sentence():
    """Otherwise the enqueueing would find the running job, and nothing would ever run again."""
    id = ticks.enqueue(1, "own key")
    with suppress(Retry):
        execution.perform(ticks, id)
    job = Job.objects.get(id=id)
    assert job.state == "waiting"
    assert "a job can't enqueue itself: raise Snooze to run it again" in job.error


def test_a_job_that_is_to_be_replaced_by_another_is_dead_at_once():
    id = ticks.enqueue(1, "replace")
    with pytest.raises(Permanent, match="can't be replaced"):
        execution.perform(ticks, id)
    assert Job.objects.get().state == "dead"


def test_a_worker_without_a_heartbeat_runs_no_job():
    """The rescue would take each of its jobs for abandoned and let it run twice."""
    id = body.enqueue("now")
    body.push_request(id=id, called_directly=False)
    try:
        with pytest.raises(ImproperlyConfigured, match="sends no heartbeat"):
            body()
    finally:
        body.pop_request()
    assert Job.objects.get().state == "ready"
