"""SIGTERM, to each process: what runs is finished, what can't be finished goes back at once, and nothing is lost."""

import os
import signal
import time

import pytest

from jobs.alive import GOODBYE
from jobs.models import Job
from tests.acceptance.conftest import House, effects, fault, in_state, job
from tests.acceptance.test_jobs import broker_pid, children
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def stop(house: House, name: str, seconds: float) -> float:
    """SIGTERM to a process, which must be gone within so many seconds with exit code 0; returns how long it took."""
    begin = time.monotonic()
    house.processes[name].terminate()
    assert house.processes[name].wait(seconds) == 0
    return time.monotonic() - begin


def test_a_job_that_outlasts_the_grace_of_its_worker_goes_back_at_once_and_keeps_its_attempt(
    house: House, partners: str
):
    stop(house, "worker-default", 30)
    house.start("worker-default", WORKER_GRACE="8")
    fault(partners, "warehouse", hang=True)
    key = f"shipment:{house.order().json()['number']}"
    until(in_state(key, "running"))
    for child in children(house.processes["worker-default"].pid):
        os.kill(child, signal.SIGSTOP)  # so that the body never ends, however slow this machine is
    Job.objects.filter(key=key).update(max_attempts=1)
    assert stop(house, "worker-default", 30) > 8 - GOODBYE  # and not before
    given = job(key)
    assert given.state in ("waiting", "ready")
    assert (given.attempts, given.error) == (0, "its worker was told to stop")
    fault(partners, "warehouse")
    house.start("worker-default")
    until(in_state(key, "succeeded"))
    assert (job(key).claims, job(key).attempts) == (2, 1)
    assert [effect["count"] for effect in effects(partners, key)] == [1]


def test_a_worker_can_be_stopped_while_the_broker_hangs(house: House):
    broker = broker_pid()
    os.kill(broker, signal.SIGSTOP)
    try:
        stop(house, "worker-bulk", 25)
    finally:
        os.kill(broker, signal.SIGCONT)
