"""What Celery's settings promise, each by what it does: docs/guarantees.md names the test of each."""

import os
import subprocess
import sys

import pytest
from celery import current_app
from django.conf import settings

from backroom.runtime.scheduler import LedgerScheduler
from backroom.runtime.task import LedgerTask
from shop.schedule import SCHEDULE


def test_a_worker_for_a_queue_that_does_not_exist_does_not_start():
    queues = dict(current_app.amqp.queues)
    try:
        with pytest.raises(KeyError, match="typo"):
            current_app.select_queues(["typo"])
    finally:
        current_app.amqp.queues = current_app.amqp.Queues(queues)  # selecting is for a process that does it once


def test_every_body_is_told_to_end_and_then_ended_before_its_worker_is_killed():
    current_app.loader.import_default_modules()
    for task in current_app.tasks.values():
        if isinstance(task, LedgerTask):
            soft = task.soft_time_limit or current_app.conf.task_soft_time_limit
            hard = task.time_limit or current_app.conf.task_time_limit
            assert 0 < soft < hard < settings.BACKROOM_WORKER_GRACE, task.name


def test_a_process_that_imports_nothing_else_knows_every_task_that_may_be_in_the_ledger():
    """As a worker does it."""
    source = "from shop.celery import app; app.loader.import_default_modules(); print(*app.tasks)"
    worker = subprocess.run([sys.executable, "-c", source], env=os.environ, capture_output=True, text=True, check=True)
    known = set(worker.stdout.split())
    assert {"orders.settle_payment", "orders.void_payment", "orders.mail_receipt", "backroom.purge"} <= known
    scheduled = {entry["task"] for entry in SCHEDULE.values()}
    assert {name for name in known if name.startswith("backroom.")} <= scheduled <= known


@pytest.mark.django_db(transaction=True)
def test_celerys_beat_is_the_one_that_fires_a_slot_once_and_fires_nothing_but_the_schedule():
    beat = current_app.Beat(quiet=True)
    scheduler = beat.Service(app=current_app, scheduler_cls=beat.scheduler_cls).scheduler
    assert type(scheduler) is LedgerScheduler
    assert set(scheduler.schedule) == set(SCHEDULE)
