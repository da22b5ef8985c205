"""What an attempt tells while it runs: its progress and its log lines, and what becomes of them."""

import json
import logging
import time
from contextlib import suppress
from datetime import timedelta
from io import StringIO

import psycopg
import pytest
import structlog
from celery import current_app
from celery.exceptions import Retry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backroom import Permanent, Snooze, progress, report, task
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.ledger.limits import LIMIT, LINE
from backroom.ledger.models import Job
from backroom.observe import progress as progress_module
from backroom.observe import recorder
from backroom.observe.models import Progress
from backroom.ops.formats import bar
from backroom.ops.running import running
from backroom.runtime import execution
from tests.integration.sick_database import a_session_waits
from tests.integration.staff import reader, text
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

log = logging.getLogger("tests.journal")
bodies: dict[str, object] = {}


@task(name="tests.short")
def short() -> None:
    pass


@task(name="tests.telling")
def telling() -> object:
    return bodies["now"]()


@task(name="tests.telling_atomic", atomic=True)
def telling_atomic() -> object:
    return bodies["now"]()


@pytest.fixture
def often(monkeypatch) -> None:
    """Let the recorder write progress twenty times a second."""
    monkeypatch.setattr(recorder.writer, "every", 0.05)


def attempt(function, of=telling) -> Job:
    """Run one attempt of a job with this body; returns the job afterwards."""
    bodies["now"] = function
    return again(of.enqueue(), of)


def again(id: str, of=telling) -> Job:
    with suppress(Retry, Exception):
        execution.perform(of, id)
    return Job.objects.get(id=id)


def lines_of(job: Job) -> list[list[str]]:
    """The lines of each attempt."""
    return [[line["text"] for line in row.lines] for row in Progress.objects.filter(job_id=job.id).order_by("claim")]


def raising(error: Exception, *lines: str):
    def function() -> None:
        for line in lines:
            log.info(line)
        raise error

    return function


def test_progress_is_seen_while_the_body_is_in_its_transaction_and_stays_when_that_is_rolled_back(often):
    def body() -> None:
        for number in progress("abcd"):
            if number == "c":
                User.objects.create(username="never")
                until(lambda: Progress.objects.filter(done=2, total=4, ended=False).exists())
                raise Permanent("x")

    job = attempt(body, telling_atomic)
    assert job.state == "dead"
    assert not User.objects.filter(username="never").exists()
    row = Progress.objects.get(job_id=job.id)
    assert (row.attempt, row.claim, row.done, row.total, row.ended) == (1, 1, 2, 4, True)


def test_however_often_it_is_told_it_is_written_no_more_than_once_in_a_while(monkeypatch):
    monkeypatch.setattr(recorder.writer, "every", 0.2)
    before = writes()

    def body() -> None:
        end = time.monotonic() + 1
        for number in progress(iter(int, 1), total=10_000_000):
            if number or time.monotonic() > end:
                return

    begin = time.monotonic()
    job = attempt(body)
    written, longest = writes() - before, time.monotonic() - begin
    assert Progress.objects.get(job_id=job.id).done > 1000
    assert 2 <= written <= longest / 0.2 + 2  # five in a second, and the one with the end


def writes() -> int:
    """How often a row of the table was written, by all sessions."""
    until(lambda: not others(), what="the thread lets go of its connection")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'backroom_progress'")
        return cursor.fetchone()[0]


def others() -> list:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE '%backroom_progress%'"
        )
        return cursor.fetchall()


def test_a_report_outside_of_a_job_does_nothing_and_nonsense_is_refused():
    report(1, 2)
    assert list(progress([1, 2])) == [1, 2]
    for done, of in (-1, 2), (1, -2), (2**63, None):
        with pytest.raises(ValueError, match="progress is counted from 0"):
            report(done, of)
    assert not Progress.objects.exists()


def test_the_next_attempt_begins_anew_and_one_back_from_the_dead_does_not_touch_its_bar():
    id = telling.enqueue()
    late = transitions.claim(id, "one")
    ghost = recorder.Record(late)
    ghost.set_progress(90, 100)
    ghost.write(ended=False)
    assert "Attempt 1 90 %, 90 of 100" in text(page(id))
    Job.objects.update(started_at=timezone.now() - timedelta(seconds=rescue.SLACK + 1))
    assert rescue.requeue_abandoned() == [id]
    transitions.stage_due(9)
    now = transitions.claim(id, "two")
    assert "of 100" not in text(page(id)).partition("Log of its attempts")[0]
    own = recorder.Record(now)
    own.set_progress(5, 100)
    own.write(ended=False)
    ghost.set_progress(95, 100)
    ghost.write(ended=False)
    with pytest.raises(Superseded):
        transitions.succeed(late, None)
    found = text(page(id))
    assert "Attempt 2 5 %, 5 of 100" in found
    assert "The attempt ended without a report" in found
    own.write(ended=True)
    transitions.succeed(now, None)
    own.set_progress(4, 100)  # a write that was on its way
    own.write(ended=False)
    assert Progress.objects.get(claim=2).done == 5


def page(id: str):
    return reader().get(f"/ops/jobs/{id}/")


def test_lines_are_kept_by_one_statement_and_an_attempt_without_any_pays_nothing():
    def body() -> None:
        log.info("asked %s", "the oracle")
        structlog.get_logger("tests").warning("answered", answer=42)

    with CaptureQueriesContext(connection) as quiet:
        silent = attempt(lambda: None)
    with CaptureQueriesContext(connection) as speaking:
        job = attempt(body)
    assert (lines_of(silent), lines_of(job)) == ([], [["asked the oracle", "answered answer=42"]])
    assert (silent.state, job.state, len(speaking)) == ("succeeded", "succeeded", len(quiet) + 1)
    row = Progress.objects.get(job_id=job.id)
    assert ([line["level"] for line in row.lines], row.done, row.ended) == (["info", "warning"], None, True)
    assert "info asked the oracle" in text(page(str(job.id)))
    assert "Log of its attempts No lines." in text(page(str(silent.id)))


def test_lines_of_attempts_that_failed_are_kept_and_a_snooze_of_which_nothing_was_written_keeps_none(monkeypatch):
    late = recorder.Writer(60)  # the usual one may come by in the midst of the snooze
    monkeypatch.setattr(recorder, "writer", late)
    monkeypatch.setattr(progress_module, "writer", late)
    job = attempt(raising(OSError("x"), "first"))
    for error, line in (Snooze(0, "x"), "a snooze"), (Permanent("x"), "second"):
        Job.objects.update(run_at=timezone.now())
        transitions.stage_due(9)
        bodies["now"] = raising(error, line)
        job = again(str(job.id))
    assert job.state == "dead"
    assert lines_of(job) == [["first"], ["second"]]
    assert [row.attempt for row in Progress.objects.filter(job_id=job.id).order_by("claim")] == [1, 2]


@pytest.mark.parametrize("of", [telling, telling_atomic], ids=["plain", "atomic"])
def test_a_job_succeeds_although_its_progress_can_not_be_written(of):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE backroom_progress RENAME TO gone")
        try:
            job = attempt(lambda: report(1, 2), of)
        finally:
            cursor.execute("ALTER TABLE gone RENAME TO backroom_progress")
    assert (job.state, job.claims) == ("succeeded", 1)


@pytest.mark.parametrize(("length", "kept"), [(10, recorder.LINES), (5000, LIMIT // LINE)])
def test_what_is_said_is_bounded_and_the_last_lines_are_the_ones_kept(length: int, kept: int):
    def body() -> None:
        for number in range(150):
            log.info("%s %s", number, "x" * length)

    row = Progress.objects.get(job_id=attempt(body).id)
    assert (len(row.lines), row.left_out) == (kept, 150 - kept)
    assert row.lines[-1]["text"].startswith("149 xxx")
    assert sum(len(line["text"]) for line in row.lines) <= LIMIT
    assert f"{150 - kept} earlier lines not kept" in text(page(str(row.job_id)))


def test_no_line_quotes_a_row_of_the_database_or_can_not_be_stored():
    User.objects.create(username="Zofia")

    def body() -> None:
        try:
            with transaction.atomic():
                User.objects.create(username="Zofia")
        except IntegrityError:
            log.exception("twice \x00 \ud800")

    job = attempt(body)
    assert job.state == "succeeded"
    ((line,),) = lines_of(job)
    assert line.startswith("twice  ? (IntegrityError: duplicate key value")
    assert "Zofia" not in line


@pytest.mark.parametrize("of", [telling, telling_atomic])
def test_a_body_does_not_notice_that_nothing_can_be_written_meanwhile(often, of):
    """The table is locked; the end waits for it, as for any other."""

    def body() -> None:
        report(1, 2)
        until(a_session_waits)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        report(2, 2)
        session.rollback()

    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as session:
        session.execute("LOCK TABLE backroom_progress IN ACCESS EXCLUSIVE MODE")
        job = attempt(body, of)
    assert job.state == "succeeded"
    assert Progress.objects.get(job_id=job.id).done == 2


def test_purging_a_job_deletes_its_progress():
    job = attempt(lambda: log.info("x"))
    other = attempt(lambda: log.info("y"))
    Job.objects.filter(id=job.id).update(finished_at=timezone.now() - timedelta(days=31))
    assert operations.purge(30) == 1
    assert [row.job_id for row in Progress.objects.all()] == [other.id]


@pytest.fixture
def halfway(often) -> None:
    """A running job that reported its progress."""
    claimed = transitions.claim(telling.enqueue(), "one")
    mine = recorder.Record(claimed)
    mine.set_progress(1000, 4000)
    until(lambda: mine.written)
    Progress.objects.update(rate=250)


def test_running_jobs_are_shown_with_their_bars_on_the_page_and_at_the_command_line(halfway):
    transitions.claim(telling.enqueue(), "one")  # one that reports nothing
    found = text(reader().get("/ops/", headers={"HX-Request": "true"}))
    assert "25 %, 1,000 of 4,000 · 250 a second · 12 s left" in found
    out = StringIO()
    call_command("jobs", "running", stdout=out)
    assert "attempt 1  [########----------------------]  25%  1,000 of 4,000  250 a second  12 s left" in out.getvalue()
    assert out.getvalue().splitlines()[-1] == "2 running"
    Job.objects.filter(id__in=Progress.objects.values("job_id")).update(started_at=timezone.now() - timedelta(hours=1))
    call_command("jobs", "running", "--json", stdout=(out := StringIO()))
    first, _ = json.loads(out.getvalue())
    assert (first["run_s"] >= 3600, first["limit_s"], first["left_s"]) == (True, 50, 12)


def test_the_shorter_of_a_tasks_limit_and_the_projects_is_shown(monkeypatch):
    monkeypatch.setattr(current_app.tasks["tests.short"], "time_limit", 20)
    transitions.claim(short.enqueue(), "one")
    assert [row.limit_s for row in running()] == [20]


@pytest.mark.parametrize(
    ("done", "total", "rate", "drawn"),
    [
        (0, 4, None, "[----]  0%  0 of 4"),
        (7, 4, 0.5, "[####]  100%  7 of 4  0.5 a second  0 s left"),
        (7, None, 2.0, "[????]  7  2.0 a second"),
    ],
)
def test_a_bar_of_what_is_beyond_its_total_or_has_none(done, total, rate, drawn):
    assert bar(Progress(done=done, total=total, rate=rate), width=4) == drawn
