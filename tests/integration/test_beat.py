"""Two beats on real tables: each slot fires once, even when one beat dies."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import current_app, schedules
from celery.beat import SchedulingError
from django.db import connection, transaction
from django.utils import timezone
from django_celery_beat import models, schedulers, tzcrontab
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from backroom import schedules as ours
from backroom import task
from backroom.ledger.models import Heartbeat, Job
from backroom.runtime import slots
from backroom.runtime.scheduler import LedgerScheduler
from backroom.tasks import purge
from tests.integration.sick_database import a_session_waits
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "purge finished jobs"


@task(name="tests.count_day", key="day:{slot_time}")
def count_day(slot_time: str) -> None:
    pass


def beat() -> LedgerScheduler:
    return LedgerScheduler(app=current_app)


@pytest.fixture(autouse=True)
def _due() -> None:
    """The schedule stands in the tables, and the purge is due: it last ran a day ago."""
    beat()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    PeriodicTask.objects.filter(name=NAME).update(last_run_at=yesterday)
    PeriodicTask.objects.exclude(name=NAME).update(enabled=False)


def tick(*beats: LedgerScheduler) -> None:
    """Let each beat do all that it finds due now."""
    for one in beats:
        while one.tick() == 0:
            pass


def purges() -> int:
    return Job.objects.filter(task="backroom.purge").count()


def test_the_readable_schedule_is_copied_into_the_tables():
    assert {"orders.release_unpaid", "backroom.purge"} <= set(PeriodicTask.objects.values_list("task", flat=True))


def test_two_beats_fire_a_slot_once():
    first, second = beat(), beat()
    assert first.schedule[NAME].is_due().is_due
    assert second.schedule[NAME].is_due().is_due
    tick(first, second, first, second)
    assert purges() == 1


def test_a_beat_killed_before_it_wrote_down_its_firings_does_not_fire_again():
    tick(beat())  # never closed, never synced
    tick(beat())
    assert purges() == 1


def test_the_beat_that_came_second_fires_the_next_slot():
    every_second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="tick", task="backroom.purge", interval=every_second)
    PeriodicTask.objects.filter(name=NAME).update(enabled=False)
    first, second = beat(), beat()
    fired = until(lambda: tick(first, second) or purges())
    until(lambda: tick(second) or purges() > fired)  # the first one has died


def test_a_slot_in_which_the_database_fails_is_fired_afterwards():
    scheduler = beat()
    entry = scheduler.schedule[NAME]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE backroom_job RENAME TO jobs_gone")
    try:
        with pytest.raises(SchedulingError):
            scheduler.apply_async(entry)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_gone RENAME TO backroom_job")
    assert scheduler.schedule[NAME].is_due().is_due
    tick(scheduler)
    assert purges() == 1


def test_an_entry_whose_task_does_not_exist_is_an_error_and_beat_goes_on():
    every_hour, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.HOURS)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    PeriodicTask.objects.create(name="gone", task="no.such.task", interval=every_hour, last_run_at=long_ago)
    scheduler = beat()
    with pytest.raises(SchedulingError):
        scheduler.apply_async(scheduler.schedule["gone"])
    assert not scheduler.schedule["gone"].is_due().is_due


class Clock:
    """The time for beat, which stands still until the test sets it. The daily slot is at 01:00."""

    def __init__(self, monkeypatch) -> None:
        self.now = datetime(2027, 3, 10, 12, tzinfo=UTC)
        monkeypatch.setattr(tzcrontab.TzAwareCrontab, "nowfunc", lambda crontab: self.now.astimezone(crontab.tz))
        monkeypatch.setattr(schedules.BaseSchedule, "now", lambda schedule: (schedule.nowfun or timezone.now)())
        monkeypatch.setattr(schedulers.ModelEntry, "_default_now", lambda entry: self.now)
        monkeypatch.setattr(models, "now", lambda: self.now)
        monkeypatch.setattr(timezone, "now", lambda: self.now)

    def at(self, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
        self.now = datetime(2027, 3, day, hour, minute, second, tzinfo=UTC)
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    PeriodicTask.objects.all().delete()
    # Celery before 5.7 prefers this name to its own.
    monkeypatch.setitem(current_app.conf.changes, "CELERY_BEAT_SCHEDULE", {})
    return Clock(monkeypatch)


def entry(task: str = "backroom.purge", **fields: Any) -> PeriodicTask:
    """A daily entry as staff makes it, for 01:00 UTC unless it has another schedule."""
    if not fields.keys() & {"interval", "clocked", "crontab"}:
        fields["crontab"], _ = CrontabSchedule.objects.get_or_create(minute="0", hour="1")
    return PeriodicTask.objects.create(name="staff's", task=task, **fields)


def fired_at(clock: Clock, times: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The times, out of these, at which a beat that was started then fires."""
    found = []
    for time in times:
        clock.at(*time)
        before = purges()
        tick(beat())
        found += [time] * (purges() - before)
    return found


def test_a_daily_slot_missed_for_hours_is_fired_once_at_the_start_of_the_next_beat(clock):
    entry(last_run_at=clock.at(10, 1))
    assert fired_at(clock, [(11, 5), (11, 5, 1), (11, 23), (12, 0, 59), (12, 1)]) == [(11, 5), (12, 1)]


def test_slots_missed_for_days_are_one_late_firing(clock):
    entry(last_run_at=clock.at(10, 1))
    assert fired_at(clock, [(15, 5), (15, 6)]) == [(15, 5)]


@pytest.mark.parametrize("headers", [{"slot_deadline": 3600}, {}])
def test_a_slot_over_its_deadline_is_skipped_and_the_next_one_fires(clock, settings, caplog, headers):
    settings.BACKROOM_SLOT_DEADLINE = None if headers else 3600
    entry(last_run_at=clock.at(10, 1), headers=json.dumps(headers))
    times = [(11, 2, 0, 1), (11, 2, 1), (12, 1, 30), (14, 1, 59)]
    assert fired_at(clock, times) == [(12, 1, 30), (14, 1, 59)]
    assert caplog.text.count("its slot is over its deadline, and skipped") == 1


def test_an_entry_without_a_deadline_of_its_own_may_say_so(clock, settings):
    settings.BACKROOM_SLOT_DEADLINE = 3600
    entry(last_run_at=clock.at(10, 1), headers='{"slot_deadline": null}')
    assert fired_at(clock, [(11, 9)]) == [(11, 9)]


EACH_LATE = json.dumps({"missed_slots": "each late"})


def slot_times() -> list[str]:
    return [job.args["slot_time"] for job in Job.objects.filter(task="tests.count_day").order_by("id")]


def test_each_missed_slot_becomes_a_job_with_its_time_once_with_two_beats(clock):
    entry("tests.count_day", last_run_at=clock.at(10, 1), headers=EACH_LATE)
    clock.at(13, 5)
    first, second = beat(), beat()
    assert first.schedule["staff's"].is_due().is_due
    assert second.schedule["staff's"].is_due().is_due
    tick(first, second, first, beat())
    assert slot_times() == [f"2027-03-{day}T01:00:00+00:00" for day in (11, 12, 13)]
    clock.at(14, 1)
    tick(first, second)
    assert slot_times()[3:] == ["2027-03-14T01:00:00+00:00"]


def test_an_interval_whose_missed_slots_become_a_job_each_keeps_its_step(clock):
    quarter = IntervalSchedule.objects.create(every=15, period=IntervalSchedule.MINUTES)
    entry("tests.count_day", last_run_at=clock.at(10, 1), headers=EACH_LATE, interval=quarter)
    for time in (10, 1, 47), (10, 2, 1):
        clock.at(*time)
        tick(beat())
    assert [each[11:16] for each in slot_times()] == ["01:15", "01:30", "01:45", "02:00"]


def test_of_more_missed_slots_than_that_the_newest_become_jobs_and_a_deadline_holds_for_each(clock):
    minutely, _ = CrontabSchedule.objects.get_or_create(minute="*")
    row = entry("tests.count_day", last_run_at=clock.at(1, 1), headers=EACH_LATE, crontab=minutely)
    clock.at(30, 1)
    tick(beat())
    assert len(slot_times()) == slots.MOST
    assert slot_times()[-1] == "2027-03-30T01:00:00+00:00"
    row.refresh_from_db()
    row.headers = json.dumps(json.loads(EACH_LATE) | {"slot_deadline": 180})
    row.save()
    clock.at(30, 2, 0, 30)
    tick(beat())
    assert [each[11:16] for each in slot_times()[slots.MOST :]] == ["01:58", "01:59", "02:00"]


def test_a_missed_slot_is_skipped_if_the_entry_says_so(clock):
    entry(last_run_at=clock.at(10, 1), headers=json.dumps({"missed_slots": "skip"}))
    assert fired_at(clock, [(11, 1, 2), (11, 1, 3), (12, 1, 0, 30)]) == [(12, 1, 0, 30)]


def test_slots_are_found_across_a_change_of_the_clock_and_far_back():
    warsaw = tzcrontab.TzAwareCrontab(minute="30", hour="1,3", tz=ZoneInfo("Europe/Warsaw"))
    last, now = datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 3, 28, 12, tzinfo=UTC)
    assert [slot.astimezone(UTC).hour for slot in slots.passed(warsaw, last, now, 9)] == [0, 1]
    assert slots.passed(warsaw, last, now, 1)[0].astimezone(UTC).hour == 1
    assert slots.passed(warsaw, last, now.astimezone(warsaw.tz), 9) == slots.passed(warsaw, last, now, 9)
    quarters = tzcrontab.TzAwareCrontab(minute="*/15", tz=warsaw.tz)
    assert slots.passed(quarters, last, now, 96) == [last + timedelta(minutes=15 * count) for count in range(1, 97)]
    yearly = tzcrontab.TzAwareCrontab(minute="0", hour="0", day_of_month="1", month_of_year="1")
    assert [slot.year for slot in slots.passed(yearly, last.replace(year=2020), now, 3)] == [2025, 2026, 2027]


def test_a_schedule_of_code_fires_is_changed_paused_and_resumed_without_a_restart(clock):
    clock.at(10, 0)
    scheduler = beat()
    tick(scheduler)
    ours.make("days", count_day.call("monday"), schedules.crontab(minute=0, hour=1))
    with pytest.raises(ValueError, match="no other option"):
        ours.make("days", count_day.using(key="x").call("monday"), schedules.crontab())

    def fires(*time: int) -> bool:
        clock.at(*time)
        before = PeriodicTask.objects.get().total_run_count
        tick(scheduler)
        return PeriodicTask.objects.get().total_run_count > before

    assert fires(10, 1)
    assert slot_times() == ["monday"]
    clock.at(10, 20)
    ours.make("days", count_day.call("noon"), schedules.crontab(minute=0, hour=12), missed="each late")
    assert not fires(10, 21)  # noon was over when the schedule became one of noon
    assert fires(11, 12)
    assert slot_times() == ["monday", "noon"]
    assert ours.pause("days")
    assert not ours.pause("days")
    assert not fires(13, 13)
    assert ours.resume("days")
    assert not fires(13, 14)
    assert fires(14, 12)
    assert ours.run_now("days") == str(Job.objects.get(key="day:noon").id)
    assert ours.remove("days")
    assert not ours.remove("days")


def test_a_schedule_of_code_gives_each_job_the_time_of_its_slot(clock):
    clock.at(10, 0)
    ours.make("days", count_day.call(slot_time=""), schedules.crontab(minute=0, hour=1))
    clock.at(10, 1)
    tick(beat())
    assert slot_times() == ["2027-03-10T01:00:00+00:00"]


def test_a_schedule_made_while_beat_starts_or_beside_a_later_change_is_read_at_the_next_look():
    PeriodicTask.objects.all().delete()
    scheduler = beat()
    every_second = timedelta(seconds=1)
    ours.make("tick", purge.call(), every_second)
    assert "tick" in scheduler.schedule
    ours.make("tock", purge.call(), every_second)
    models.PeriodicTasks.objects.update(last_update=datetime(2020, 1, 1, tzinfo=UTC))  # its transaction began first
    assert "tock" in scheduler.schedule


def test_a_schedule_of_the_settings_and_what_can_be_none_are_refused():
    call = purge.call()
    for name, when, words in [
        (NAME, timedelta(hours=1), "stands in CELERY_BEAT_SCHEDULE"),
        ("x", timedelta(seconds=1.5), "whole seconds"),
        ("x", timedelta(10**6), "whole seconds"),
        ("x", datetime(2027, 1, 1), "the time needs a time zone"),
        ("", timedelta(hours=1), "name is empty"),
        ("x" * 201, timedelta(hours=1), "over 200 characters"),
        ("a\0b", timedelta(hours=1), "no NUL character"),
    ]:
        with pytest.raises(ValueError, match=words):
            ours.make(name, call, when)
    with pytest.raises(ValueError, match="missed_slots is one of once late, each late, skip"):
        ours.make("x", call, timedelta(hours=1), missed="never")
    with pytest.raises(TypeError, match="what a schedule enqueues is a call"):
        ours.make("x", purge, timedelta(hours=1))


def test_an_interval_and_a_clocked_entry_have_a_deadline_too(clock):
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    headers = '{"slot_deadline": 60}'
    entry(last_run_at=clock.at(10, 1), headers=headers, interval=hourly)
    assert fired_at(clock, [(10, 3, 2), (10, 4, 2), (10, 9, 4), (10, 12, 4)]) == [(10, 4, 2), (10, 12, 4)]
    PeriodicTask.objects.all().delete()
    once = ClockedSchedule.objects.create(clocked_time=clock.at(11, 1))
    entry(clocked=once, one_off=True, headers=headers)
    assert fired_at(clock, [(11, 0), (11, 2), (11, 3)]) == []


def test_a_slot_of_the_code_that_never_fired_is_not_forgotten_by_a_restart(clock):
    daily = schedules.crontab(minute=0, hour=1)
    current_app.conf.changes["CELERY_BEAT_SCHEDULE"] = {"new": {"task": "backroom.purge", "schedule": daily}}
    clock.at(10, 23)
    beat()
    assert fired_at(clock, [(11, 3)]) == [(11, 3)]


def test_an_entry_disabled_a_moment_ago_does_not_fire(clock):
    entry(last_run_at=clock.at(10, 1))
    scheduler = beat()
    clock.at(11, 1)
    due = scheduler.schedule["staff's"]
    PeriodicTask.objects.update(enabled=False, last_run_at=None)  # beat reads it with its next look
    scheduler.apply_entry(due)
    tick(scheduler)
    assert purges() == 0


def test_an_entry_deleted_a_moment_ago_does_not_stop_beat(clock):
    entry(last_run_at=clock.at(10, 1))
    scheduler = beat()
    clock.at(11, 1)
    due = scheduler.schedule["staff's"]
    PeriodicTask.objects.all().delete()
    scheduler.apply_entry(due)
    tick(scheduler)
    assert purges() == 0


@pytest.mark.parametrize("fields", [{"headers": "[]"}, {"args": "[" * 20_000}, {"headers": "x"}])
def test_an_entry_that_can_not_be_read_is_said_and_does_not_stop_the_others(clock, caplog, fields):
    entry(last_run_at=clock.at(10, 1))
    PeriodicTask.objects.update(name="unreadable", **fields)
    entry(last_run_at=clock.at(10, 1))
    assert fired_at(clock, [(11, 1)]) == [(11, 1)]
    assert "the schedule unreadable is left out" in caplog.text


def test_an_entry_whose_time_never_occurs_does_not_stop_the_others(clock, caplog):
    never = CrontabSchedule.objects.create(minute="0", hour="0", day_of_month="31", month_of_year="2")
    entry(crontab=never, last_run_at=clock.at(10, 1))
    PeriodicTask.objects.update(name="never")
    entry(last_run_at=clock.at(10, 1))
    assert fired_at(clock, [(11, 1)]) == [(11, 1)]
    assert "the schedule never is left out" in caplog.text


def test_the_job_of_a_slot_may_expire(clock):
    entry(last_run_at=clock.at(10, 1), expire_seconds=60)
    assert fired_at(clock, [(11, 1)]) == [(11, 1)]
    assert Job.objects.get(task="backroom.purge").expires_at


def test_the_end_of_a_schedule_is_no_end_of_its_jobs(clock):
    entry(last_run_at=clock.at(10, 1), expires=clock.at(12, 0))
    assert fired_at(clock, [(11, 1), (12, 1)]) == [(11, 1)]


@contextmanager
def beat_process() -> Iterator[None]:
    """A real beat on the tests' database. It has to stop at SIGTERM."""
    address = os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + connection.settings_dict["NAME"]
    command = [sys.executable, "-m", "celery", "-A", "shop", "beat"]
    process = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": address})
    try:
        yield
        process.terminate()
        process.wait(60)
    finally:
        process.kill()


@contextmanager
def locked(row: PeriodicTask) -> Iterator[None]:
    """Its row, for as long as a beat needs to start on a busy machine."""
    with transaction.atomic():
        connection.cursor().execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        PeriodicTask.objects.select_for_update().get(pk=row.pk)
        yield


def test_a_running_beat_takes_a_schedule_made_in_code_within_seconds():
    PeriodicTask.objects.all().delete()
    with beat_process():
        until(lambda: Heartbeat.objects.filter(role="beat").exists())
        ours.make("purge", purge.call(), timezone.now())
        until(lambda: purges() == 1)
        until(lambda: not PeriodicTask.objects.get(name="purge").enabled)  # once, and then it is over


def test_a_beat_stopped_while_it_reads_its_schedule_ends():
    new = entry(last_run_at=None)
    with locked(new), beat_process():
        until(a_session_waits)


def test_a_beat_stopped_in_the_middle_of_a_slot_ends_and_the_next_one_fires_it_hours_late():
    PeriodicTask.objects.all().delete()
    now = datetime.now(UTC)
    four_hours_ago = CrontabSchedule.objects.create(minute=now.minute, hour=(now - timedelta(hours=4)).hour)
    slot = entry(crontab=four_hours_ago, last_run_at=now - timedelta(hours=28))
    with locked(slot), beat_process():
        until(a_session_waits)
    assert purges() == 0
    with beat_process():
        until(lambda: PeriodicTask.objects.get(pk=slot.pk).total_run_count == 1)
    assert purges() == 1
