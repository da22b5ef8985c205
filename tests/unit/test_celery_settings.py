"""What Celery's settings promise, each by what it does: docs/guarantees.md names the test of each."""

import json
import os
import re
import subprocess
import sys

import pytest
from celery import current_app
from django.conf import settings

from backroom.observe.redact import redact
from backroom.runtime import slots
from backroom.runtime.scheduler import LedgerScheduler
from backroom.runtime.task import LedgerTask
from shop.schedule import SCHEDULE

SECRETS = {
    "SECRET_KEY": "hidden" * 10,
    "DATABASE_URL": "postgres://me:hidden@127.0.0.1:9/none",
    "BROKER_URL": "redis://:hidden@127.0.0.1:9/7",
    "EMAIL_URL": "smtp://hidden:hidden@127.0.0.1:9",
    "METRICS_TOKEN": "hidden" * 4,
    "FLOWER_BASIC_AUTH": "staff:hidden",
    "DEBUG": "true",
    "DJANGO_SETTINGS_MODULE": "lab.faults.naive.settings",
}


def test_a_worker_for_a_queue_that_does_not_exist_does_not_start():
    queues = dict(current_app.amqp.queues)
    try:
        with pytest.raises(KeyError, match="typo"):
            current_app.select_queues(["typo"])
    finally:
        current_app.amqp.queues = current_app.amqp.Queues(queues)  # selecting is for a process that does it once


CLIPS = ("catalog.media_small", "catalog.media_large")


def test_every_body_is_told_to_end_and_then_ended_before_its_worker_is_killed():
    """But for clips: a worker that stops requeues what would outlast it."""
    current_app.loader.import_default_modules()
    for task in current_app.tasks.values():
        if isinstance(task, LedgerTask):
            soft = task.soft_time_limit or current_app.conf.task_soft_time_limit
            hard = task.time_limit or current_app.conf.task_time_limit
            assert 0 < soft < hard
            assert hard < settings.BACKROOM_WORKER_GRACE or task.name in CLIPS, task.name


@pytest.fixture(scope="module")
def worker() -> dict:
    """What a worker's main process knows when its pool is about to fork."""
    source = """if True:
        import gc, json
        from shop.celery import app
        app.Worker(quiet=True).on_start()
        objects = {"frozen": gc.get_freeze_count(), "objects": len(gc.get_objects())}
        print(json.dumps({"tasks": list(app.tasks), **objects}))"""
    run = subprocess.run([sys.executable, "-c", source], env=os.environ, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_no_garbage_collection_in_a_workers_child_writes_to_the_memory_that_it_shares(worker: dict):
    assert worker["frozen"] > 100 * worker["objects"]


def test_a_process_that_imports_nothing_else_knows_every_task_that_may_be_in_the_ledger(worker: dict):
    known = set(worker["tasks"])
    assert {"orders.settle_payment", "orders.void_payment", "orders.mail_receipt", "backroom.purge"} <= known
    scheduled = {entry["task"] for entry in SCHEDULE.values()}
    assert {name for name in known if name.startswith("backroom.")} <= scheduled <= known


@pytest.mark.django_db(transaction=True)
def test_celerys_beat_is_the_one_that_fires_a_slot_once_and_fires_nothing_but_the_schedule():
    beat = current_app.Beat(quiet=True)
    scheduler = beat.Service(app=current_app, scheduler_cls=beat.scheduler_cls).scheduler
    assert type(scheduler) is LedgerScheduler
    assert set(scheduler.schedule) == set(SCHEDULE)
    assert {json.loads(entry.model.headers)[slots.RULE] for entry in scheduler.schedule.values()} == set(slots.RULES)


def test_what_a_worker_and_celerys_report_say_of_the_settings_is_celerys_own_and_no_secret(tmp_path):
    """As `inspect conf` and Flower ask a worker: of the shop, and of the lab's shop with a plain Celery."""
    env = {"PATH": os.environ["PATH"], "BACKROOM_VAR": str(tmp_path), **SECRETS}
    source = (
        "from lab.faults.naive.celery import app; from shop.celery import app as ours\n"
        "from celery.worker.control import conf; from types import SimpleNamespace\n"
        "for each in app, ours: print(conf(SimpleNamespace(app=each), with_defaults=True), each.bugreport())"
    )
    shown = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True, check=True).stdout
    assert shown.count("redis://:********@127.0.0.1:9/7'") == 4  # conf and report of each
    assert not re.findall(r"hidden|DATABASES|SECRET_KEY|EMAIL_HOST", shown)


def test_no_text_that_is_logged_kept_or_shown_holds_the_password_of_an_address():
    for before, after in [
        ("at redis://:p%40ss@h:1/0, a@b.example", "at redis://:********@h:1/0, a@b.example"),
        ('{"a": "amqp://me:p@ss@h//;amqp://me:other@h2", "to": "a@b"}',
         '{"a": "amqp://me:********@h//;amqp://me:********@h2", "to": "a@b"}'),
        ("postgres://h/db?sslmode=on&password=pass'", "postgres://h/db?sslmode=on&password=********'"),
        ("http://127.0.0.1:8000/a?b=c@d:e", "http://127.0.0.1:8000/a?b=c@d:e"),
    ]:  # fmt: skip
        assert redact(before) == after
