"""A batch with real workers and a dispatcher, all of which are killed again and again."""

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone

from backroom import batch
from backroom.ledger.models import Heartbeat, Job, Pause
from tests.acceptance import batch_tasks
from tests.acceptance.conftest import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


@pytest.fixture
def fresh_worker(house: Cluster) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts another worker in place of worker-bulk. It has the tasks of the test."""
    house.processes["worker-bulk"].terminate()
    house.processes["worker-bulk"].wait(60)
    command, started = [*house.commands()["worker-bulk"], "--include", "tests.acceptance.batch_tasks"], []

    def start() -> subprocess.Popen:
        begin = timezone.now()
        with (house.logs / "batches.log").open("ab") as log:
            started.append(subprocess.Popen(command, env=house.env, stdout=log, stderr=log, start_new_session=True))
        until(lambda: Heartbeat.objects.filter(queues="bulk", started_at__gt=begin).exists(), 60)
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(60)
    Job.objects.filter(task__startswith="tests.batch.").delete()  # later tests count jobs


@pytest.mark.parametrize(("members", "kills"), [(300, 1), pytest.param(10_000, 5, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_the_callback_runs_exactly_once_though_all_workers_and_the_dispatcher_are_killed(
    house, fresh_worker, members, kills
):
    name, worker = str(uuid.uuid4()), fresh_worker()
    Pause.objects.create(what="task:tests.batch.last", who="a test")
    calls = [batch_tasks.member.call(name, number) for number in range(1, members)]
    grows = batch_tasks.member.call(name, members, adds=2)
    id = batch([batch_tasks.last.call(), grows, *calls], then=batch_tasks.whole.using(takes_result="numbers").call())
    ours = Job.objects.filter(batch_id=id)
    for kill in range(kills):
        until(lambda kill=kill: ours.filter(state="succeeded").count() > kill * members // kills, 300)
        house.kill("dispatcher")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        house.start("dispatcher")
        worker = fresh_worker()
    assert Job.objects.get(id=id).claims == 0
    Pause.objects.all().delete()
    until(lambda: Job.objects.get(id=id).state == "succeeded", 300)
    assert (ours.count(), Job.objects.get(id=id).claims) == (members + 3, 1)
    assert Job.objects.get(id=id).result == [members + 3, sum(range(members + 3))]
