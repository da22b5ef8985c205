"""The cancel of a running job: at its next report, or by its own end, which wins if it is a success."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from celery.exceptions import Ignore, Retry
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from backroom import enqueue_all, progress, report, task
from backroom.ledger import operations, transitions
from backroom.ledger.errors import Cancelled
from backroom.ledger.models import Job
from backroom.observe import cancellation
from backroom.ops.models import AuditEntry
from backroom.runtime import execution
from backroom.runtime.heartbeat import Heartbeat
from tests.integration.attempts import atomic_body, bodies, body
from tests.integration.staff import operator, text

pytestmark = pytest.mark.django_db(transaction=True)


@task(name="tests.after_cancel")
def after() -> None:
    pass


@pytest.fixture(autouse=True)
def _tells_of_none() -> Iterator[None]:
    yield
    cancellation.tell([])
    bodies.clear()


def cancel() -> None:
    """A person cancels the running job, in another session than its body's, and its worker's heartbeat sees it."""

    def ask() -> list[str]:
        ids = [str(job.id) for job in Job.objects.filter(state="running")]
        done = operations.cancel(ids=ids, running=True, why="cancelled by chief")
        connection.close()
        return done

    with ThreadPoolExecutor(1) as person:
        ids = person.submit(ask).result()
    assert len(ids) == 1
    cancellation.tell(ids)


def attempt(act: Callable[[], object], of=body) -> tuple[str, str, str]:
    """The states of a job whose body this was, and of its follower; and the job's error."""
    bodies["now"] = act
    (id,) = enqueue_all(of.call("now").then(after.call()))
    with suppress(Retry, Ignore, Exception):
        execution.perform(of, id)
    job = Job.objects.get(id=id)
    return job.state, Job.objects.get(after_id=id).state, job.error


def reports() -> None:
    report(1, 3)
    Session.objects.create(session_key="begun", expire_date=Now())
    cancel()
    report(2, 3)
    raise AssertionError("it went on")


def goes_through() -> None:
    for number in progress(range(3)):
        assert number == 0, "it went on"
        cancel()


def fails() -> None:
    cancel()
    raise OSError("x")


@pytest.mark.parametrize("act", [reports, goes_through, fails])
def test_it_ends_as_cancelled_with_its_followers_and_the_reason(act):
    assert attempt(act) == ("cancelled", "cancelled", "cancelled by chief")


def test_an_atomic_body_is_rolled_back():
    assert attempt(reports, atomic_body)[0] == "cancelled"
    assert not Session.objects.exists()


def test_a_body_that_finishes_first_wins_and_its_followers_run():
    assert attempt(cancel) == ("succeeded", "ready", "")


def test_only_the_cancelled_job_hears_of_it():
    def act() -> None:
        cancellation.tell(["01a00000-0000-7000-8000-000000000000"])
        report(1, 1)

    assert attempt(act)[0] == "succeeded"


def test_a_replayed_one_is_not_cancelled_again():
    attempt(reports)
    id = str(Job.objects.get(state="cancelled", after_id=None).id)
    operations.replay([id])
    transitions.stage_due(9)
    bodies["now"] = lambda: report(1, 1)
    cancellation.tell([])
    execution.perform(body, id)
    assert Job.objects.get(id=id).state == "succeeded"


def test_a_stale_cancel_costs_a_replayed_job_no_attempt():
    """It runs again before the next heartbeat of its worker."""
    attempt(reports)
    id = str(Job.objects.get(state="cancelled", after_id=None).id)
    operations.replay([id])
    transitions.stage_due(9)
    bodies["now"] = lambda: report(1, 1)
    with suppress(Cancelled):
        execution.perform(body, id)
    job = Job.objects.get(id=id)
    assert (job.state, job.attempts) == ("waiting", 0)
    cancellation.tell([])
    operations.reschedule(ids=[id])
    transitions.stage_due(9)
    execution.perform(body, id)
    assert Job.objects.get(id=id).state == "succeeded"


def test_a_heartbeat_tells_a_worker_which_of_its_jobs_to_end_and_when(settings):
    mine, other = (transitions.claim(body.enqueue("now"), worker).id for worker in ("one", "two"))
    operations.cancel(ids=[mine, other], running=True)
    assert Heartbeat("worker", "one").beat() == {mine: False}
    settings.BACKROOM_CANCEL_GRACE = 0
    assert Heartbeat("worker", "one").beat() == {mine: True}
    assert Heartbeat("worker", "three").beat() == {}


def test_an_operator_ends_a_running_job_on_its_page_and_the_audit_log_says_so():
    id = transitions.claim(body.enqueue("now"), "one").id
    client = operator()
    assert f"verb=end&amp;id={id}" in client.get(f"/ops/jobs/{id}/").content.decode()
    assert "After 10 s its process is killed" in text(client.get(f"/ops/act/?verb=end&id={id}"))
    client.post("/ops/act/", {"verb": "end", "id": id, "step": "do", "why": "a mistake"})
    page = text(client.get(f"/ops/jobs/{id}/"))
    assert "1 job asked to end." in page
    assert "cancelled by operator: a mistake" in page
    assert Job.objects.get().cancel_at
    assert AuditEntry.objects.get().verb == "asked to end"


def test_the_command_line_ends_a_running_job_only_if_told_so(capsys):
    id = transitions.claim(body.enqueue("now"), "one").id
    call_command("jobs", "cancel", id)
    assert "is running: cancel --running ends it" in capsys.readouterr().out
    assert not Job.objects.get().cancel_at
    call_command("jobs", "cancel", id, "--running", "--why=a mistake")
    assert capsys.readouterr().out == "1 of 1 jobs asked to end\n"
    assert Job.objects.get().cancel_at
    with pytest.raises(CommandError, match="takes no --running"):
        call_command("jobs", "replay", id, "--running")


def test_a_body_may_clean_up():
    def act() -> None:
        try:
            reports()
        except Cancelled:
            Session.objects.create(session_key="cleaned up", expire_date=Now())
            raise

    attempt(act)
    assert Session.objects.filter(session_key="cleaned up").exists()
