"""Two beats on real tables: each slot fires once, even when one beat dies."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from celery.beat import SchedulingError
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backroom.ledger.models import Job
from backroom.runtime.scheduler import LedgerScheduler
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "purge finished jobs"


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
    until(lambda: tick(first, second) or purges() == 1, 10)
    until(lambda: tick(second) or purges() == 2, 10)  # the first one has died


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
