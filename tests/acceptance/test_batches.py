"""A batch with real workers and a dispatcher, all of which are killed again and again."""

import uuid

import pytest

from backroom import batch
from backroom.ledger.models import Job, Pause
from tests.acceptance import batch_tasks
from tests.acceptance.conftest import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
VICTIMS = ("dispatcher", "worker-bulk")


@pytest.mark.parametrize(("members", "kills"), [(300, 1), pytest.param(10_000, 5, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_the_callback_runs_exactly_once_though_all_workers_and_the_dispatcher_are_killed(
    house: Cluster, members: int, kills: int
):
    name = str(uuid.uuid4())
    Pause.objects.create(what="task:tests.batch.last", who="a test")
    calls = [batch_tasks.member.call(name, number) for number in range(1, members)]
    grows = batch_tasks.member.call(name, members, adds=2)
    id = batch([batch_tasks.last.call(), grows, *calls], then=batch_tasks.whole.using(takes_result="numbers").call())
    ours = Job.objects.filter(batch_id=id)
    for kill in range(kills):
        until(lambda kill=kill: ours.filter(state="succeeded").count() > kill * members // kills, 300)
        for process in VICTIMS:
            house.kill(process)
        house.start(*VICTIMS)
    assert Job.objects.get(id=id).claims == 0
    Pause.objects.all().delete()
    until(lambda: Job.objects.get(id=id).state == "succeeded", 300)
    assert (ours.count(), Job.objects.get(id=id).claims) == (members + 3, 1)
    assert Job.objects.get(id=id).result == [members + 3, sum(range(members + 3))]
    Job.objects.filter(task__startswith="tests.batch.").delete()  # later tests count jobs
