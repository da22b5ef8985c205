"""Finding jobs, and a job's own page."""

import uuid
from datetime import timedelta
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from backroom import enqueue_all, task
from backroom.ledger import transitions
from backroom.ledger.models import Job
from backroom.ops.pages import found as found_page
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


def dies(id: str, error: str, worker: str = "one") -> None:
    transitions.mark_dead(transitions.claim(id, worker), error)


def test_retrying_scheduled_and_followers_have_a_tab_each(jobs):
    transitions.defer(transitions.claim(jobs[0], "one"), 60, "OSError: x")
    found.using(run_after=timedelta(hours=1)).enqueue(7)
    enqueue_all(keyless.call().then(found.call(8)).then(found.call(9)))
    transitions.defer(transitions.claim(jobs[2], "one"), 60, "Away: the breaker is open", uses_attempt=False)
    assert names(state="retrying") == {"found:1001", "found:1002"}
    assert names(state="scheduled") == {"found:7"}
    assert names(state="behind") == {"found:8", "found:9"}
    assert names(state="retrying", q="1001") == {"found:1001"}
    assert "behind found:8 behind" in text(reader().get("/ops/jobs/?state=behind"))
    for address, says in ("state=running", "No job is running."), ("state=running&q=x", "No job found. Succeeded and"):
        assert says in text(reader().get(f"/ops/jobs/?{address}"))


def test_a_job_is_found_by_a_part_of_its_error_and_of_its_workers_name(jobs):
    dies(jobs[0], "OSError: 100 % of the_disk\nTraceback: in Tar", "host-a/1")
    dies(jobs[1], "OSError: 100x of the-disk", "host-b/1")
    assert names(error="traceback: IN") == names(error="% OF the_") == names(worker="HOST-A") == {"found:1001"}
    assert names(error="oserror", worker="host", state="dead") == {"found:1001", "after:1001"}
    assert names(error="nothing", state="dead") == names(worker="%") == set()


def test_a_time_bounds_what_the_tab_shows(jobs):
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    for hours, id in enumerate(jobs[:3]):
        dies(id, "x")
        Job.objects.filter(id=id).update(finished_at=noon + timedelta(hours=hours))
    begin, end = f"{noon + timedelta(hours=1):%Y-%m-%dT%H:%M}", f"{noon + timedelta(hours=2):%Y-%m-%dT%H:%M}"
    assert names(state="dead", begin=begin, end=end) == {"after:1001"}
    soon, ago = (f"{timezone.now() + timedelta(minutes=m):%Y-%m-%dT%H:%M}" for m in (2, -2))
    assert names(begin=ago, end=soon) == names()
    assert names(begin=soon) == names(end=ago) == set()
    assert names(begin="9999-12-31T23:59", q="1001") == names(end="0001-01-01T00:00") == set()


def test_an_error_is_shown_whole(jobs):
    error = "OSError: " + "no route " * 60 + "to host"
    dies(jobs[0], error + "\nTraceback")
    for address in "/ops/jobs/?state=dead", f"/ops/jobs/{jobs[0]}/":
        assert error in text(reader().get(address))


def test_a_job_leads_to_the_jobs_of_the_same_number_and_to_the_projects_page(jobs, settings):
    page = text(reader().get(f"/ops/jobs/{jobs[0]}/"))
    assert "Jobs of 1001 Show as a list found:1001 ready after:1001 ready" in page
    assert "Belongs to" not in page
    settings.BACKROOM_JOB_LINKS = f"{__name__}.job_links"
    page = reader().get(f"/ops/jobs/{jobs[0]}/")
    assert "Belongs to found:1001 for reader" in text(page)
    assert 'href="/there/?a=1&amp;b=2"' in page.content.decode()
    assert "Jobs of" not in text(reader().get(f"/ops/jobs/{jobs[3]}/")), "it has no key"


def job_links(job: Job, user: User) -> list[tuple[str, str]]:
    return [(f"{job.key} for {user.get_username()}", "/there/?a=1&b=2")]


def test_nonsense_in_the_address_finds_what_makes_sense(jobs):
    assert names(after="x", begin="soon", end="2026-13-01T00:00", state="lost", q=" ") == names()
    assert names(q="\x00'; --", error="'; --%") == set()


def test_pages_follow_each_other_and_no_one_looks_at_more_than_its_share(jobs, monkeypatch):
    monkeypatch.setattr(found_page, "PAGE", 2)
    monkeypatch.setattr(found_page, "LOOK", 3)
    for state in "", "ready", "dead":
        if state == "dead":
            for id in jobs:
                dies(id, "x")
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
