"""The database in trouble under the back room: no attempt is used, nothing is half-done, all go on by themselves."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from celery import current_app
from celery.exceptions import Ignore, Retry
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django_celery_beat.models import PeriodicTask

from backroom import Retry as Policy
from backroom import task
from backroom.ledger.models import Job
from backroom.ops import rules
from backroom.ops.metrics import BackRoom
from backroom.ops.stats import snapshot
from backroom.runtime import execution, heartbeat
from backroom.runtime.dispatcher import Dispatcher
from backroom.runtime.scheduler import LedgerScheduler
from tests.integration import sick_database as sick
from tests.integration.heartbeats import worker_beats
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

bodies: dict[str, Callable[[], object]] = {}


@task(name="tests.sick_body", retry=Policy(attempts=1))
def body() -> object:
    return bodies["now"]()


@task(name="tests.sick_atomic_body", retry=Policy(attempts=1), atomic=True)
def atomic_body() -> object:
    return bodies["now"]()


@pytest.fixture(autouse=True)
def _short(monkeypatch, transactional_db) -> Iterator[None]:
    """A worker of this name, with less patience than the real ones; no session of this test is left to the next."""
    monkeypatch.setattr(execution, "PAUSES", (0, 0.05))
    monkeypatch.setattr(execution, "LONG_PAUSES", (0.2, 0.2, 0.2))
    monkeypatch.setattr(heartbeat, "worker_name", "tests")
    yield
    connection.close()


def attempt(work: Callable[[], object], of=body) -> Job:
    """Run one attempt of a job with this body, which is also its last."""
    bodies["now"] = work
    id = of.enqueue()
    with suppress(Retry, Ignore):
        execution.perform(of, id)
    return Job.objects.get(id=id)


def write() -> None:
    Session.objects.create(session_key="a", expire_date="2030-01-01T00:00Z")


def meet_a_lock() -> None:
    with sick.another_session() as other, connection.cursor() as cursor:
        other.execute("LOCK TABLE django_content_type")
        cursor.execute("SET lock_timeout = '20ms'")
        cursor.execute("SELECT FROM django_content_type")


def write_read_only() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")  # as a session that was made after the failover
        cursor.execute("SET transaction_read_only = on")  # and where an atomic body has begun already
    write()


@pytest.mark.parametrize("of", [body, atomic_body])
@pytest.mark.parametrize("work", [meet_a_lock, write_read_only])
def test_what_is_nobodys_fault_uses_no_attempt_not_even_the_last_one(work, of):
    job = attempt(work, of)
    assert (job.state, job.attempts, job.run_at is not None) == ("waiting", 0, True)
    assert not Session.objects.exists()


def test_a_body_that_is_too_slow_for_the_database_uses_its_attempt():
    def slow() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '200ms'")
            cursor.execute("SELECT pg_sleep(10)")

    with pytest.raises(OperationalError):
        attempt(slow)
    job = Job.objects.get()
    assert (job.state, job.attempts) == ("dead", 1)


def test_a_job_is_not_claimed_half_while_the_database_is_read_only():
    id = body.enqueue()
    bodies["now"] = write
    with sick.read_only(), pytest.raises(Ignore):
        execution.perform(body, id)
    assert (Job.objects.get(id=id).state, Session.objects.count()) == ("ready", 0)
    execution.perform(body, id)  # its message, published again
    assert (Job.objects.get(id=id).claims, Session.objects.count()) == (1, 1)


def test_a_finish_outlasts_an_outage_and_the_body_runs_once():
    ran: list[int] = []
    begun, down = threading.Event(), threading.Event()

    def fail_over() -> None:
        assert begun.wait(10)
        with sick.read_only():
            down.set()
            time.sleep(0.3)

    def work() -> str:
        ran.append(1)
        begun.set()
        assert down.wait(10)
        connection.close()
        return "done"

    with sick.meanwhile(fail_over):
        job = attempt(work)
    assert (job.state, job.claims, job.result, ran) == ("succeeded", 1, "done", [1])


@pytest.mark.parametrize("failing", [False, True])
def test_an_end_that_can_not_be_written_down_is_given_back_later(failing: bool):
    with ExitStack() as outage:

        def work() -> None:
            outage.enter_context(sick.read_only())
            if failing:
                raise OSError

        job = attempt(work)
    connection.close()  # it was made while the database was read-only
    assert (job.state, job.claims) == ("running", 1)
    Job.objects.filter(id=job.id).update(started_at="2020-01-01T00:00Z", max_attempts=2)
    assert worker_beats("tests", "default", []) == [str(job.id)]
    assert Job.objects.get(id=job.id).state == "waiting"


def test_a_dispatcher_waits_out_an_outage_says_so_once_and_goes_on(caplog):
    dispatcher = Dispatcher()
    id = body.using(run_after=timedelta(milliseconds=1)).enqueue()
    with sick.meanwhile(lambda: (dispatcher.run(), connection.close())):
        with sick.read_only():
            until(lambda: "the database fails" in caplog.text)
            Dispatcher().stop.wait(1.2)  # it has looked again, and said nothing
        until(lambda: "answers again" in caplog.text)
        until(lambda: Job.objects.get(id=id).state == "ready")
        dispatcher.stop.set()
    said = [
        record
        for record in caplog.records
        if record.name == "backroom.runtime.dispatcher" and "database" in record.message
    ]
    assert len(said) == 2


def test_a_missing_table_is_an_error_of_ours_and_no_outage_and_leaves_no_dispatcher_alive(caplog):
    dispatcher = Dispatcher()
    rename("backroom_job", "backroom_gone")
    try:
        with sick.meanwhile(lambda: (dispatcher.run(), connection.close())):
            until(lambda: "run manage.py migrate" in caplog.text)
            dispatcher.stop.wait(1.2)  # it has looked again, and said nothing
            alive = heartbeat.alive("dispatcher")
            dispatcher.stop.set()
    finally:
        rename("backroom_gone", "backroom_job")
    assert alive == []
    (said,) = [record for record in caplog.records if record.name == "backroom.runtime.dispatcher"]
    assert (said.levelname, "database fails" in said.message, bool(said.exc_info)) == ("ERROR", False, True)


def rename(table: str, to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {to}")


def test_operators_read_that_the_database_is_read_only():
    with sick.read_only():
        (said,) = [found.says for found in rules.findings(snapshot()) if found.rule.name == "database-away"]
        (up,) = [family.samples[0].value for family in BackRoom().collect() if family.name == "backroom_ledger_up"]
    assert "it is read-only" in said
    assert up == 0


def test_a_beat_waits_out_an_outage_in_one_line_and_fires_the_slot_afterwards(caplog):
    LedgerScheduler(app=current_app)  # copies the schedule into the tables
    PeriodicTask.objects.exclude(task="backroom.purge").update(enabled=False)
    PeriodicTask.objects.filter(task="backroom.purge").update(last_run_at="2020-01-01T00:00Z")
    beat = LedgerScheduler(app=current_app)
    for outage in (sick.away, sick.read_only, sick.exhausted):
        with outage():
            assert [beat.tick(), beat.tick()] == [1.0, 1.0]
    assert not [record for record in caplog.records if record.exc_info]
    assert not Job.objects.exists()
    until(lambda: beat.tick() and Job.objects.filter(task="backroom.purge").exists())
