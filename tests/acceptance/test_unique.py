"""A unique name with a real worker that takes its jobs while others enqueue them."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from backroom.ledger.models import Heartbeat, Job, Unique
from tests.acceptance.conftest import Cluster
from tests.acceptance.unique_tasks import late, mark, total
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


@pytest.fixture
def worker(house: Cluster) -> Iterator[None]:
    """One in place of worker-bulk that knows these tasks."""
    house.processes["worker-bulk"].terminate()
    house.processes["worker-bulk"].wait(30)
    command = [*house.commands()["worker-bulk"], "--include", "tests.acceptance.unique_tasks", "--hostname=unique@%h"]
    begin = timezone.now()
    with (house.logs / "unique.log").open("wb") as log:
        process = subprocess.Popen(command, env=house.env, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: Heartbeat.objects.filter(queues="bulk", started_at__gt=begin).exists(), 60)
        yield
    finally:
        process.terminate()
        process.wait(30)
        Job.objects.filter(task__startswith="tests.unique.").delete()
        Unique.objects.all().delete()


def test_no_dropped_newcomer_is_lost_and_what_comes_too_late_is_cancelled(worker):
    def enqueue(number: int) -> str:
        try:
            with transaction.atomic():
                mark.using(run_after=timedelta(days=1)).enqueue()
                return total.enqueue()
        finally:
            connection.close()

    expired = late.enqueue()
    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(enqueue, range(60)))
    until(lambda: not Job.objects.filter(id__in=ids).exclude(state="succeeded").exists(), 60)
    assert Job.objects.filter(task=total.name).count() == len(set(ids))
    assert Job.objects.filter(task=total.name).latest("started_at").result == 60
    until(lambda: Job.objects.get(id=expired).state == "cancelled")
    assert Job.objects.get(id=expired).error.startswith("expired: not begun by")
