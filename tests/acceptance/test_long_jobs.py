"""A deploy interrupts a long job, and a person cancels running ones: with a real worker and its children."""

import os
import subprocess

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session

from backroom import enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import Job
from backroom.runtime import execution
from tests.acceptance.long_jobs import follows, hangs, reports, thanks_all
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def sleeps(seconds: float) -> bool:
    return subprocess.run(["pgrep", "--full", f"^sleep {seconds}$"], check=False).returncode == 0


def states(*ids: str) -> list[str]:
    return [Job.objects.get(id=id).state for id in ids]


def test_running_jobs_are_cancelled_and_a_deploy_interrupts_a_resumable_one(house: Cluster):
    worker = house.processes["worker-bulk"]
    seconds = 600 + os.getpid() / 1e7  # no other run's
    (hung,) = enqueue_all(hangs.call(seconds).then(follows.call()))
    reporting = reports.enqueue()
    until(lambda: states(hung, reporting) == ["running", "running"])
    until(lambda: sleeps(seconds))
    operations.cancel(ids=[hung, reporting], running=True, why="cancelled by chief: a mistake")
    until(lambda: states(hung, reporting) == ["cancelled", "cancelled"])
    assert Job.objects.get(after_id=hung).state == "cancelled"
    assert {job.error for job in Job.objects.filter(id__in=[hung, reporting])} == {"cancelled by chief: a mistake"}
    left = Session.objects.filter(session_data__in=["hung", "cleaned up"]).values_list("session_data", flat=True)
    assert list(left) == ["cleaned up"]
    until(lambda: not sleeps(seconds))

    Group.objects.bulk_create(Group(name=f"thanked {number}") for number in range(60))
    try:
        id, thanked = thanks_all.enqueue(0.3), Session.objects.filter(session_data__startswith="thanked")
        until(lambda: thanked.count() > 2)
        worker.terminate()
        assert worker.wait(60) == 0
        job = Job.objects.get(id=id)
        assert (job.attempts, job.cursor["done"]) == (0, thanked.count())
        until(lambda: states(id) == ["ready"], what="the dispatcher publishes it at once")
        Job.objects.filter(id=id).update(args={"pause": 0})
        execution.perform(thanks_all, id)
        job.refresh_from_db()
        assert (job.state, job.attempts, job.claims) == ("succeeded", 1, 2)
        assert thanked.count() == thanked.values("session_data").distinct().count() == 60
    finally:
        Group.objects.filter(name__startswith="thanked").delete()
