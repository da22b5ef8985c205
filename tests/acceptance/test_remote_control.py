"""What a worker obeys where FLOWER_READ_ONLY is off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app

from backroom.ledger import operations
from backroom.ledger.models import Heartbeat, Job
from stack import ports
from tests.acceptance.conftest import Cluster, House, ask, fault, in_state, job
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db, pytest.mark.usefixtures("obedient")]


@pytest.fixture(scope="module")
def obedient(open_house: House) -> Iterator[None]:
    """Another worker-bulk, which obeys remote control."""
    stop(open_house)
    open_house.start("worker-bulk", FLOWER_READ_ONLY="false")
    yield
    stop(open_house)


def stop(house: House) -> None:
    if running := house.processes.get("worker-bulk"):
        running.terminate()
        running.wait(70)


def test_a_job_revoked_from_flower_is_cancelled_and_can_be_replayed(house: Cluster, partners: str):
    fault(partners, "analytics", status=503)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(lambda: Job.objects.filter(key=key, state="waiting", attempts__gte=1).exists())
    current_app.control.revoke(str(job(key).id))
    operations.reschedule(key)
    until(in_state(key, "cancelled"))
    fault(partners, "analytics")
    operations.replay([str(job(key).id)])
    until(in_state(key, "succeeded"))


def test_a_job_terminated_from_flower_is_a_dead_letter(house: Cluster, partners: str):
    fault(partners, "analytics", hang=True)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(in_state(key, "running"))
    current_app.control.revoke(str(job(key).id), terminate=True, signal="SIGKILL")
    until(in_state(key, "dead"))
    fault(partners, "analytics")
    operations.replay([str(job(key).id)])
    until(in_state(key, "succeeded"))


def test_it_acts_only_when_told_so_by_its_own_variable(tmp_path: Path):
    port = ports.free(["FLOWER_PORT"])["FLOWER_PORT"]
    other = Cluster(tmp_path)
    other.env |= {"FLOWER_PORT": str(port), "FLOWER_URL": f"http://{ports.HOST}:{port}", "BACKROOM_VAR": str(tmp_path)}
    try:
        other.start("flower", FLOWER_READ_ONLY="false")
        account = other.env["FLOWER_BASIC_AUTH"]
        worker = until(
            lambda: next((name for name in workers(other.env["FLOWER_URL"], account) if "bulk" in name), None)
        )
        api = f"{other.env['FLOWER_URL']}/api/worker"
        for act in f"pool/grow/{worker}?n=1", f"pool/shrink/{worker}?n=1", f"queue/cancel-consumer/{worker}?queue=bulk":
            until(lambda act=act: ask("POST", f"{api}/{act}", account).status == 200, what=act)  # it waits one second
        alive = Heartbeat.objects.filter(role="worker", name__startswith="bulk@")
        until(lambda: alive.latest("started_at").queues == "", what="the heartbeat says what is really consumed")
    finally:
        other.stop()


def workers(flower: str, account: str) -> list[str]:
    return list(ask("GET", f"{flower}/api/workers?refresh=1", account).json())
