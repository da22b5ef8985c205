"""Two beats on real tables: a slot fires once."""

import pytest
from celery import current_app
from celery.schedules import crontab, schedule
from django_celery_beat.models import PeriodicTask

from jobs.beat import LedgerScheduler, slot_of
from jobs.models import Job


def test_a_crontab_slot_is_a_minute_and_an_interval_slot_its_interval():
    assert slot_of(crontab(), 125.9) == slot_of(crontab(), 120.0) == 120
    assert slot_of(schedule(30), 125.9) == 120
    assert slot_of(schedule(30), 119.9) == 90


@pytest.mark.django_db(transaction=True)
def test_two_beats_enqueue_a_slot_once():
    beats = [LedgerScheduler(app=current_app), LedgerScheduler(app=current_app)]
    for beat in beats:
        beat.apply_async(beat.schedule["purge finished jobs"])
    assert Job.objects.filter(task="jobs.purge").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_readable_schedule_is_copied_into_the_tables():
    LedgerScheduler(app=current_app)
    assert {"orders.release_unpaid", "jobs.purge"} <= set(PeriodicTask.objects.values_list("task", flat=True))
