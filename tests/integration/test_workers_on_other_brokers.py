"""A worker and a dispatcher on RabbitMQ and SQS: a stop, a kill, foreign messages and remote control."""

import json
import signal
import time
from collections.abc import Iterator

import pytest
from celery import current_app

from backroom import enqueue_all
from backroom.ledger.models import Job
from backroom.observe.models import ForeignMessage
from backroom.runtime import broker
from tests.brokers import found_within
from tests.cluster import Cluster
from tests.integration import broker_jobs
from tests.integration.broker_jobs import leaves
from tests.integration.other_broker import a_broker, a_server, waiting  # noqa: F401 - fixtures
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def house(there, server, tmp_path) -> Iterator[Cluster]:
    """A worker of the queue `bulk` and a dispatcher, on the tests' database and this broker. Their end is a stop: SQS
    would give the next test's messages to the polls of a worker that was killed."""

    class House(Cluster):
        def commands(self) -> dict[str, list[str]]:
            found = super().commands()
            return found | {"worker-bulk": [*found["worker-bulk"], f"--include={broker_jobs.__name__}"]}

    house = House(tmp_path)
    house.env |= server
    try:
        house.start("worker-bulk", "dispatcher")
        yield house
        stop(house)
    finally:
        house.stop()


def stop(house: Cluster) -> None:
    house.processes["worker-bulk"].send_signal(signal.SIGTERM)
    assert house.processes["worker-bulk"].wait(30) == 0


def succeeded(ids: list[str]) -> bool:
    return Job.objects.filter(id__in=ids, state="succeeded").count() == len(ids)


def test_jobs_run_once_and_a_worker_that_stops_finishes_what_runs_and_leaves_the_rest(house):
    ids = enqueue_all(*[leaves.call(str(number), 1.0) for number in range(6)])
    until(lambda: Job.objects.filter(state="running").count() == 2)
    stop(house)
    assert not Job.objects.filter(state="running").exists()
    house.start("worker-bulk")
    until(lambda: succeeded(ids), 60)
    assert broker_jobs.left() == [str(number) for number in range(6)]
    assert set(Job.objects.values_list("claims", flat=True)) == {1}
    until(lambda: waiting() == 0)


def test_a_worker_that_stops_takes_no_message_with_it(house):
    stop(house)
    id = leaves.enqueue("next")  # while an open poll of that worker would take its message
    house.start("worker-bulk")
    until(lambda: succeeded([id]), 30)


def test_a_job_whose_worker_is_killed_ends_once_although_its_message_comes_again_too(there, house):
    """On SQS an open poll of the dead worker takes the message of the rescue: it is lost, too."""
    id = leaves.enqueue("killed", 3.0)
    until(lambda: Job.objects.filter(id=id, state="running").exists())
    house.kill("worker-bulk")
    house.start("worker-bulk")
    until(lambda: succeeded([id]), found_within(there))
    last = leaves.enqueue("after")
    until(lambda: succeeded([last]), 60)
    time.sleep(1)
    assert broker_jobs.left() == ["after", "killed"]
    until(lambda: waiting() == 0)


FOREIGN = [
    *("5", "nonsense", "{}", "null", '{"properties": 5}', '{"properties": {"delivery_info": [1]}, "body": "x"}'),
    json.dumps({"body": "x", "headers": {"id": 7, "task": "x"}, "properties": {"delivery_info": {}}}),
]


def publish_raw(text: str) -> None:
    with broker.connection() as raw:
        channel = raw.default_channel
        if broker.kind() == "sqs":
            channel.sqs().send_message(QueueUrl=channel._new_queue("bulk"), MessageBody=text)
        else:
            channel.basic_publish(
                channel.prepare_message(text.encode(), headers={"id": 7}), exchange="", routing_key="bulk"
            )


def test_a_message_that_is_no_jobs_is_taken_out_and_kept_and_costs_no_restart(house):
    before = house.processes["worker-bulk"].pid
    for text in FOREIGN:
        publish_raw(text)
    id = leaves.enqueue("ours")
    until(lambda: succeeded([id]), 60)
    until(lambda: ForeignMessage.objects.count() == len(FOREIGN), 30)
    assert house.processes["worker-bulk"].poll() is None
    assert house.processes["worker-bulk"].pid == before
    until(lambda: waiting() == 0)


def test_remote_control_only_looks(there, house):
    if there == "sqs":
        pytest.skip("SQS has no remote control: kombu's transport has no fanout")
    with broker.connection() as raw:
        until(lambda: current_app.control.ping(timeout=1, connection=raw), 30)
        assert "is refused" in str(current_app.control.broadcast("shutdown", reply=True, connection=raw))
    assert house.processes["worker-bulk"].poll() is None
