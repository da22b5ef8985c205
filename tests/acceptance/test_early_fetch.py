"""A worker fetches a message while a child still writes its finish, and gives it back if the finish hangs."""

import os
import signal

import pytest

from backroom.ledger.models import Job
from tests.acceptance.conftest import Cluster, effects, fault
from tests.acceptance.processes import children
from tests.integration.sick_database import another_session
from tests.messages import all_wait
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

HOLD = "SELECT id FROM backroom_job WHERE task = 'orders.send_analytics' AND state = 'running' FOR UPDATE SKIP LOCKED"


def all_wait_in_the_broker() -> bool:
    """The messages of all jobs of the worker that are ready."""
    return all_wait(Job.objects.filter(queue="bulk", state="ready").values_list("id", flat=True), "bulk")


@pytest.mark.parametrize("fate", ["child killed", "worker stopped"])
def test_a_message_fetched_during_a_finish_waits_no_longer_than_a_finish_takes(
    house: Cluster, partners: str, fate: str
):
    fault(partners, "analytics", latency_ms=300)
    old = list(Job.objects.values_list("id", flat=True))
    worker, log, held = house.processes["worker-bulk"], house.logs / "worker-bulk.log", set()
    begin = log.stat().st_size
    with another_session() as session:

        def hold_both_finishes() -> bool:
            house.order()
            held.update(id for (id,) in session.execute(HOLD))
            return len(held) == 2  # the worker has two children

        until(hold_both_finishes)
        if fate == "worker stopped":
            worker.terminate()
        else:
            house.order()
            until(lambda: log.read_bytes()[begin:].count(b"its message goes back") == 2)  # one for each child
            os.kill(children(worker.pid)[0], signal.SIGKILL)
        until(all_wait_in_the_broker)
        assert worker.poll() is None
    if fate == "worker stopped":
        assert worker.wait(60) == 0
        house.start("worker-bulk")
    sent = Job.objects.filter(task="orders.send_analytics").exclude(id__in=old)
    until(lambda: not sent.exclude(state="succeeded").exists(), 40)
    for job in sent:
        assert job.claims == 1 or job.id in held
        assert [effect["count"] for effect in effects(partners, job.key)] == [1]
