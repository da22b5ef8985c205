"""Lanes with real workers, one of which is killed while its jobs hold places."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from backroom import enqueue_many
from backroom.ledger.models import Heartbeat, Job
from tests.acceptance import lane_tasks
from tests.acceptance.conftest import Cluster
from tests.acceptance.processes import children
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


@pytest.fixture
def workers(house: Cluster) -> Iterator[list[subprocess.Popen]]:
    """worker-bulk, and another one beside it."""
    begin = timezone.now()
    second = house.begin("worker-bulk-2")
    try:
        until(Heartbeat.objects.filter(queues="bulk", started_at__gt=begin).exists)
        yield [house.processes["worker-bulk"], second]
    finally:
        second.terminate()
        second.wait(60)
        Job.objects.filter(task__startswith="tests.lanes.").delete()  # later tests count dead letters


def test_limit_and_order_hold_while_a_worker_is_killed_and_its_places_are_free_again(workers, house, monkeypatch):
    journal = Path(house.env["LANES_JOURNAL"])
    monkeypatch.setenv("LANES_JOURNAL", str(journal))
    tasks = [lane_tasks.limited] * 12 + [lane_tasks.ordered] * 5 + [lane_tasks.blocked] * 3
    numbers = [*range(12), *range(5), *range(3)]
    enqueue_many(each.call(each.name, number) for each, number in zip(tasks, numbers, strict=True))
    until(lambda: journal.exists() and journal.read_text().count("end tests.lanes.limited") >= 3)
    victim = workers[0]
    pids = children(victim.pid)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    for pid in pids:
        lane_tasks.note("killed", pid)
    jobs = Job.objects.filter(task__startswith="tests.lanes.")
    until(lambda: [jobs.filter(state=state).count() for state in ("succeeded", "dead")] == [12 + 4 + 1, 2])
    assert list(jobs.filter(state="dead").order_by("id").values_list("task", "args__number")) == [
        ("tests.lanes.ordered", 2),
        ("tests.lanes.blocked", 1),
    ]
    assert list(jobs.filter(state="waiting").values_list("task", "args__number", "place")) == [
        ("tests.lanes.blocked", 2, 0)
    ]
    lines = [line.split() for line in journal.read_text().splitlines()]
    at_once = [most_at_once(lines, f"tests.lanes.{name}") for name in ("limited", "ordered", "blocked")]
    assert all(most <= places for most, places in zip(at_once, (3, 1, 1), strict=True)), at_once
    begun = [int(number) for what, *rest in lines if what == "begin" for lane, number, _ in [rest] if "ordered" in lane]
    assert begun == sorted(begun)
    assert set(begun) == {0, 1, 2, 3, 4}


def most_at_once(lines: list[list[str]], lane: str) -> int:
    """How many bodies of this lane ran at one moment."""
    running: dict[str, str] = {}
    most = 0
    for what, *rest in lines:
        if what == "begin":
            running[rest[2]] = rest[0]
        else:
            running.pop(rest[-1], None)
        most = max(most, list(running.values()).count(lane))
    return most
