"""Failed attempts that are kept, and the minutes of queues and tasks."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from backroom import Permanent, Snooze
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.models import Attempt, Heartbeat, Job
from backroom.ops import rates, rollups, rules, stats
from backroom.ops.models import QueueMinute, TaskMinute, TaskTotal
from backroom.ops.watcher import Watcher
from backroom.runtime.dispatcher import Dispatcher
from tests.integration.attempts import attempt, raising
from tests.integration.minutes import QUEUES, finished, last_minute, noted
from tests.integration.staff import reader, text

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_attempt_that_failed_is_kept_and_one_that_succeeded_is_the_job_itself():
    job = attempt(raising(OSError("no route")))
    kept = Attempt.objects.get(job_id=job.id)
    assert (kept.number, kept.outcome, kept.error.partition("\n")[0]) == (1, "waiting", "OSError: no route")
    assert kept.published_at < kept.started_at < kept.ended_at
    attempt(lambda: None)
    assert Attempt.objects.count() == 1


def test_a_snooze_is_no_attempt():
    attempt(raising(Snooze(60, "the bank is away")))
    assert not Attempt.objects.exists()


def test_a_lost_attempt_is_kept_and_so_is_the_one_after_which_a_job_is_dead():
    id = noted.enqueue()
    transitions.claim(id, "gone")
    Job.objects.update(started_at=timezone.now() - timedelta(minutes=1))
    assert rescue.requeue_abandoned() == [id]
    assert Attempt.objects.get().error == "its worker died or fell silent"
    assert Attempt.objects.get(job_id=attempt(raising(Permanent("no such order"))).id).outcome == "dead"


def test_attempts_are_purged_with_their_job():
    id = noted.enqueue()
    transitions.defer(transitions.claim(id, "one"), 0, "OSError: x", uses_attempt=True)
    operations.cancel(ids=[id], dead=True)
    assert (operations.purge(days=1), Attempt.objects.count()) == (0, 1)
    Job.objects.update(finished_at=timezone.now() - timedelta(days=2))
    assert (operations.purge(days=1), Attempt.objects.count()) == (1, 0)


def test_a_minute_that_is_over_is_written_with_all_that_ended_in_it():
    now = timezone.now()
    at = last_minute(now)
    finished(3, at)
    finished(1, at, error="Permanent: no such order")
    finished(1, at - timedelta(minutes=1))  # the first look of all begins with the last minute
    noted.using(queue_name="bulk").enqueue()
    assert rollups.write(QUEUES, now) == 1
    entry = TaskMinute.objects.get()
    assert (entry.task, entry.queue, entry.succeeded, entry.retried, entry.dead) == ("tests.noted", "default", 3, 0, 1)
    assert entry.minute == at.replace(second=0, microsecond=0)
    two_seconds, one_second = "22", "20"  # buckets: up to 2048 and 1024 ms
    assert (entry.waits, entry.runs) == ({two_seconds: 4}, {one_second: 4})
    queues = {entry.queue: (entry.depth, entry.succeeded, entry.dead) for entry in QueueMinute.objects.all()}
    assert queues == dict.fromkeys(QUEUES, (0, 0, 0)) | {"bulk": (1, 0, 0), "default": (0, 3, 1)}


def test_missed_minutes_are_written_later_without_depths():
    now = timezone.now()
    at = last_minute(now)
    QueueMinute.objects.create(minute=at.replace(second=0) - timedelta(minutes=3), queue="default")
    finished(2, at - timedelta(minutes=1))
    assert rollups.write(QUEUES, now) == 3
    entry = QueueMinute.objects.get(queue="default", minute=at.replace(second=0, microsecond=0) - timedelta(minutes=1))
    assert (entry.succeeded, entry.depth) == (2, None)


def test_two_dispatchers_write_a_minute_once():
    now = timezone.now()
    finished(5, last_minute(now))
    with ThreadPoolExecutor(2) as pool:
        assert [run.result() for run in [pool.submit(write_and_close, now) for _ in range(2)]]
    assert TaskMinute.objects.get().succeeded == TaskTotal.objects.get().succeeded == 5
    assert QueueMinute.objects.count() == len(QUEUES)


def write_and_close(now: datetime) -> int:
    try:
        return rollups.write(QUEUES, now)
    finally:
        connection.close()


def test_a_watcher_writes_what_no_dispatcher_is_there_to_write_and_its_rules_see_it():
    now = timezone.now()
    at = last_minute(now)
    QueueMinute.objects.create(minute=at.replace(second=0) - timedelta(minutes=6), queue="default")
    finished(3, at - timedelta(minutes=5), error="Permanent: no such order")
    assert not rates.minutes(rules.WINDOW, now)
    Watcher().look()
    assert "dead-letters-growing" in {finding.rule.name for finding in rules.findings(stats.snapshot(rules.WINDOW))}
    page = text(reader().get("/ops/"))
    assert ("within ten minutes (3 in all)" in page, "need a decision" in page) == (True, False)


def test_a_wait_of_many_hours_is_not_cut_to_one():
    now = timezone.now()
    finished(1, last_minute(now))
    Job.objects.update(created_at=F("started_at") - timedelta(hours=9))
    rollups.write(QUEUES, now)
    (ended,) = rates.by("task", TaskMinute.objects.all(), 60).values()
    assert 9 * 3_600_000 <= ended.waits_ms[0] <= 9 * 3_600_000 * 1.42


def test_stats_count_each_end_once_whether_its_minute_is_written_or_not():
    now = timezone.now()
    finished(4, last_minute(now))
    finished(1, now - timedelta(seconds=1))
    before = rates.minutes(300, now)
    rollups.write(QUEUES, now)
    after = rates.minutes(300, now)
    assert sum(entry.succeeded for entry in before) == sum(entry.succeeded for entry in after) == 5


def test_a_dispatcher_sends_heartbeats_and_deletes_its_row_when_it_stops():
    dispatcher = Dispatcher()
    dispatcher.heartbeat.beat_if_due()
    first = Heartbeat.objects.get(role="dispatcher")
    dispatcher.heartbeat.due = 0
    dispatcher.heartbeat.beat_if_due()
    assert Heartbeat.objects.get().seen_at > first.seen_at
    dispatcher.stop.set()
    dispatcher.run()
    assert not Heartbeat.objects.exists()
