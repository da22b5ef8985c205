"""Finding jobs, and a job's own page."""

import uuid
from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.test import Client

from backroom import enqueue_all, task
from backroom.ledger import transitions
from backroom.ledger.models import Job
from backroom.ops.pages import search
from tests.integration.staff import reader, text

pytestmark = pytest.mark.django_db


@task(name="tests.found", key="found:{number}", queue="bulk")
def found(number: int) -> None:
    pass


@task(name="tests.found_after", key="after:{number}")
def found_after(number: int) -> None:
    pass


@task(name="tests.keyless")
def keyless() -> None:
    pass


def names(**asked: str) -> set[str]:
    """The jobs on the page, by key or task."""
    response = reader().get("/ops/jobs/", asked)
    return {job.key or job.task for job in response.context["found"].jobs}


@pytest.fixture
def jobs() -> list[str]:
    return [found.enqueue(1001), found_after.enqueue(1001), found.enqueue(1002), keyless.enqueue()]


def test_a_job_is_found_by_order_key_beginning_id_task_state_and_queue(jobs):
    transitions.succeed(transitions.claim(jobs[3], "one"), None)
    transitions.mark_dead(transitions.claim(jobs[2], "one"), "Permanent: x")
    assert names(q="1001") == {"found:1001", "after:1001"}
    assert names(q="found:1002") == names(state="dead") == {"found:1002"}
    assert names(q="found:*") == names(queue="bulk") == {"found:1001", "found:1002"}
    assert names(q=jobs[3]) == names(task="tests.keyless") == names(state="succeeded") == {"tests.keyless"}
    assert names(q="1001", task="tests.found") == names(state="ready", queue="bulk") == {"found:1001"}
    assert names() == {"found:1001", "found:1002", "after:1001", "tests.keyless"}


def test_nonsense_in_the_address_finds_what_makes_sense(jobs):
    assert names(before="x", page="-1", state="lost", q=" ") == names()
    assert names(q="\x00'; --", page="9" * 30) == set()


def test_pages_follow_each_other_and_no_one_looks_at_more_than_its_share(jobs, monkeypatch):
    monkeypatch.setattr(search, "PAGE", 2)
    monkeypatch.setattr(search, "LOOK", 3)
    for state in "", "ready":
        seen, address = [], f"state={state}"
        while address:
            page = reader().get(f"/ops/jobs/?{address}").context["found"]
            seen += [str(job.id) for job in page.jobs]
            address = page.next
        assert sorted(seen) == sorted(jobs)
    page = reader().get("/ops/jobs/", {"queue": "critical"}).context["found"]
    assert (page.jobs, page.looked) == ([], 3)


def test_a_job_shows_arguments_attempts_errors_chain_and_flower():
    first = enqueue_all(found.call(1001).then(found_after.call(1001)))[0]
    second = Job.objects.get(key="after:1001").id
    transitions.defer(transitions.claim(first, "one"), 0, "OSError: <no> route\nTraceback: first", uses_attempt=True)
    transitions.stage_due(9)
    transitions.mark_dead(transitions.claim(first, "two"), "Permanent: gone\nTraceback: second")
    page = reader().get(f"/ops/jobs/{first}/")
    for words in "OSError: &lt;no&gt; route", "Traceback: first", "Traceback: second", "&quot;number&quot;: 1001":
        assert words in page.content.decode()
    for words in "attempt 1, ended", "attempt 2, ended", "2 of 8", "on one", "on two", "found:1001 dead → after:1001":
        assert words.replace(" → ", " ") in text(page)
    assert f"/task/{first}" in page.content.decode()
    assert "Replay that job, or cancel this one." in text(reader().get(f"/ops/jobs/{second}/"))


def test_a_live_job_is_looked_at_again_and_a_finished_one_is_not(jobs):
    assert b"every 3s" in reader().get(f"/ops/jobs/{jobs[0]}/").content
    transitions.succeed(transitions.claim(jobs[0], "one"), {"pages": 2})
    page = reader().get(f"/ops/jobs/{jobs[0]}/")
    assert b"every 3s" not in page.content
    assert "&quot;pages&quot;: 2" in text(page)


def test_who_may_not_look_finds_nothing(jobs):
    for address in "/ops/jobs/", f"/ops/jobs/{jobs[0]}/":
        assert Client().get(address).status_code == 302
    assert reader().get(f"/ops/jobs/{uuid.uuid4()}/").status_code == 404


def test_a_job_that_waits_for_a_time_says_which():
    id = found.using(run_after=timedelta(hours=1)).enqueue(1)
    assert f"Not before {Job.objects.get(id=id).run_at:%d %b %Y %H:%M:%S}" in text(reader().get(f"/ops/jobs/{id}/"))


def test_a_job_that_was_nested_too_deep_to_be_read_is_set_aside_and_shown(admin_client):
    """As the migration finds it. Until then it stopped the dispatcher, and each page that lists jobs."""
    bad, good = found.enqueue(1), found.enqueue(2)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE backroom_job DROP CONSTRAINT backroom_args_readable")
        deep = '{"number": ' + "[" * 988 + "]" * 988 + "}"
        cursor.execute("UPDATE backroom_job SET args = %s WHERE id = %s", [deep, bad])
        cursor.execute(import_module("backroom.migrations.0003_set_aside_unreadable_jobs").SET_ASIDE)
    assert [str(job.id) for job in Job.objects.filter(state="dead")] == [bad]
    for page in (
        "/ops/jobs/",
        "/ops/dead/",
        f"/ops/jobs/{bad}/",
        "/admin/backroom/job/",
        f"/admin/backroom/job/{bad}/change/",
    ):
        answer = admin_client.get(page)
        assert answer.status_code == 200
        assert "nested too deep to be read" in answer.content.decode()
    assert transitions.claim(good, "one")
