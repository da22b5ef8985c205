"""Batches, lanes and cursors on the operations pages and in `manage.py jobs`."""

import json
import re
from datetime import timedelta

import pytest
from celery.schedules import crontab
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from backroom import batch, schedules, task
from backroom.ledger import batches, lanes
from backroom.ledger.models import Batch, Job, Pause
from backroom.ops.models import AuditEntry
from tests.integration.staff import operator, reader, text

pytestmark = pytest.mark.django_db


@task(name="tests.part_of_group")
def part(n: int) -> None:
    pass


@task(name="tests.group_done", key="group:{n}")
def done(n: int) -> None:
    pass


@task(name="tests.hook", limit=("hooks:{id}", 2))
def hook(id: int) -> None:
    pass


@task(name="tests.statement", in_order="statements:{id}", dead_blocks=True)
def statement(id: int) -> None:
    pass


@task(name="tests.reindex_shown", unique=("reindex:{id}", "while live"))
def reindex(id: int) -> None:
    pass


def set_state(id: str, state: str) -> None:
    Job.objects.filter(id=id).update(state=state, finished_at=None if state == "running" else "2027-01-01T00:00Z")


def held_up() -> tuple[str, list[str]]:
    """A batch of four members: one has succeeded, one is dead, one is cancelled, one is ready."""
    id = batch((part.call(n) for n in range(4)), then=done.call(7))
    members = [str(job.id) for job in Job.objects.filter(batch_id=id).order_by("id")]
    for member, state in zip(members, ("succeeded", "dead", "cancelled"), strict=False):
        set_state(member, state)
    batches.look()
    return id, members


def test_a_batch_shows_its_members_and_who_must_act():
    id, members = held_up()
    assert "group:7 tests.group_done 1 of 4 · 1 dead · 1 cancelled a person" in text(reader().get("/ops/"))
    assert "Batch group:7 waits for a person: 1 dead, 1 cancelled" in text(reader().get("/ops/"))
    page = reader().get(f"/ops/jobs/{id}/")
    assert "Waits for a person: replay its dead and cancelled members" in text(page)
    assert [member for member in members if f"/ops/jobs/{member}/" in page.content.decode()] == members[1:3]
    assert "member, for group:7 batch" in text(reader().get(f"/ops/jobs/{members[0]}/"))
    assert "group:7 tests.group_done batch" in text(reader().get("/ops/jobs/?state=behind"))


def test_an_operator_cancels_a_batch_with_a_reason():
    id, members = held_up()
    address = f"/ops/jobs/{id}/cancel-batch/"
    assert address in operator().get(f"/ops/jobs/{id}/").content.decode()
    assert address not in reader().get(f"/ops/jobs/{id}/").content.decode()
    assert reader().post(address, {"why": "w"}).status_code == 403
    assert "1 of 4 members have succeeded" in text(operator().get(address))
    assert "Enter a reason" in text(operator().post(address, {"why": ""}))
    assert "3 jobs cancelled" in text(operator().post(address, {"why": "wrong list"}, follow=True))
    states = Job.objects.filter(batch_id=id).order_by("id").values_list("state", flat=True)
    assert list(states) == ["succeeded", "cancelled", "cancelled", "cancelled"]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.what, entry.why) == ("cancelled", f"batch {id}, 3 jobs", "wrong list")
    Batch.objects.update(count_again_at=timezone.now() - timedelta(days=1))
    batches.look()
    assert "This batch has ended" in text(operator().get(address, follow=True))
    assert operator().get(f"/ops/jobs/{members[0]}/cancel-batch/").status_code == 404


def test_a_parked_job_shows_its_lane_its_position_and_who_holds_it():
    first, second, *waiting = [hook.enqueue(7) for _ in range(5)]
    lanes.open_lanes()
    page = text(reader().get("/ops/"))
    assert " 0 + 3 parked 0 " in page
    assert "limit:hooks:7 3 " in page
    assert "2 of 2 held" in page
    page = reader().get(f"/ops/jobs/{waiting[2]}/")
    assert "Waits for a place in limit:hooks:7 , 2 before it. Held by" in text(page)
    assert "9999" not in text(page)
    assert all(f"/ops/jobs/{id}/" in page.content.decode() for id in (first, second))
    assert "/ops/act/?verb=try" not in operator().get(f"/ops/jobs/{waiting[2]}/").content.decode()
    assert text(reader().get("/ops/jobs/?state=parked")).count("parked limit:hooks:7") == 3
    for state in "scheduled", "retrying":
        assert "tests.hook" not in text(reader().get(f"/ops/jobs/?state={state}")).partition("No job is")[2]


def test_a_job_in_strict_order_names_the_dead_letter_that_blocks_it(capsys):
    first, second = statement.enqueue(1), statement.enqueue(1)
    lanes.open_lanes()
    set_state(first, "dead")
    lanes.open_lanes()
    page = reader().get(f"/ops/jobs/{second}/")
    assert "0 before it. Held by" in text(page)
    assert f"/ops/jobs/{first}/" in page.content.decode()
    page = text(reader().get("/ops/"))
    assert f"1 of 1 held: {first[-6:]} a person" in page
    assert "Lane order:statements:1 waits for a person: a dead letter blocks it." in page
    call_command("jobs", "lanes")
    assert "1 of 1 places held, by a dead letter\n" in capsys.readouterr().out


def test_a_parked_job_of_a_paused_task_says_so_wherever_it_is_shown(capsys):
    Pause.objects.create(what="task:tests.hook", who="operator", why="")
    id = hook.enqueue(8)
    assert "0 before it. task:tests.hook is paused." in text(reader().get(f"/ops/jobs/{id}/"))
    assert "0 of 2 held paused" in text(reader().get("/ops/"))
    call_command("jobs", "lanes")
    assert "0 of 2 places held, paused\n" in capsys.readouterr().out


def test_no_try_now_of_a_search_or_a_choice_takes_a_parked_job():
    hook.enqueue(7)
    parked = [hook.enqueue(7) for _ in range(2)]
    for found in "&all=1&found=state%3Dscheduled", f"&id={parked[0]}":
        assert "Try 0 jobs now" in text(operator().get(f"/ops/act/?verb=try{found}", follow=True))


def test_a_unique_name_a_cursor_an_expiry_and_a_time_limit_are_shown(capsys):
    assert "holds reindex:7" in text(reader().get(f"/ops/jobs/{reindex.enqueue(7)}/"))
    id = part.enqueue(1)
    Job.objects.filter(id=id).update(cursor={"id": 4711}, expires_at=timezone.now() + timedelta(days=1))
    page = text(reader().get(f"/ops/jobs/{id}/"))
    assert "&quot;id&quot;: 4711" in page
    assert "if it has not begun by then" in page
    Job.objects.filter(id=id).update(state="running", started_at=timezone.now() - timedelta(minutes=30))
    call_command("jobs", "running")
    pages = [text(reader().get(address)) for address in ("/ops/", f"/ops/jobs/{id}/")]
    assert all(re.search("30 min of [0-9]+ s", shown) for shown in (*pages, capsys.readouterr().out))


def test_the_command_lists_batches_and_lanes(capsys):
    id, _ = held_up()
    for _ in range(3):
        hook.enqueue(7)
    for what, words in (
        ("batches", f"{id}  group:7  1 of 4, 1 dead, 1 cancelled  waits for a person\n1 open batches"),
        ("lanes", "limit:hooks:7  3 waiting"),
    ):
        call_command("jobs", what)
        assert words in capsys.readouterr().out
        call_command("jobs", what, "--json")
        assert len(json.loads(capsys.readouterr().out)) == 1
        with pytest.raises(CommandError, match=f"{what} takes no"):
            call_command("jobs", what, "--all")


def test_the_command_lists_schedules_with_their_slots(capsys):
    PeriodicTask.objects.all().delete()
    schedules.make("daily", hook.call(7), crontab(minute=0, hour=1), missed="skip")
    schedules.make("hourly", hook.call(7), timedelta(hours=1))
    schedules.pause("hourly")
    call_command("jobs", "schedules")
    first, second, count = capsys.readouterr().out.splitlines()
    assert re.fullmatch("daily  tests.hook  last -  next [0-9]{4}-.* UTC  missed: skip", first)
    assert second == "hourly  tests.hook  last -  next paused  missed: once late"
    assert count == "2 schedules"
    call_command("jobs", "schedules", "--json")
    assert [each["enabled"] for each in json.loads(capsys.readouterr().out)] == [True, False]


def test_batches_and_lanes_cost_the_overview_one_statement_each_and_without_them_none():
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get("/ops/", headers={"HX-Request": "true"})
        return len(queries)

    client = reader()
    none = statements()
    for number in range(4):
        batch([part.call(number)], then=done.call(number))
        hook.enqueue(number % 2)
    assert statements() == none + 2
