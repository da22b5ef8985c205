"""What a stranger with the broker's password can make a worker do: nothing but run a job that is ready anyway."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import current_app
from django.utils import timezone

from backroom.ledger import enqueueing
from backroom.ledger.models import Heartbeat, Job
from backroom.observe.models import ForeignMessage
from backroom.ops import rules, stats
from backroom.runtime import broker
from backroom.runtime.call import Call, new_id
from stack.supervisor import CHECKOUT
from tests.acceptance.conftest import Cluster, fault, in_state, job
from tests.acceptance.processes import children
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

TASK, PURGE = "orders.send_analytics", "backroom.purge_history"


def push(queue: str, *messages: bytes | str) -> None:
    with redis.Redis.from_url(broker.url()) as server:
        server.lpush(queue, *messages)


def message(id: object, task: object = TASK, /, body: object = None, **changes: object) -> dict:
    """One as a publisher of ours writes it, but for the changes."""
    made = current_app.amqp.create_task_message(id, TASK)
    return {
        "body": json.dumps(made.body) if body is None else body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {**made.headers, "id": id, "task": task},
        "properties": {"delivery_tag": new_id(), "delivery_info": {"exchange": "", "routing_key": "bulk"}},
        **changes,
    }


def ready_job(key: str, task: str) -> str:
    """A job whose message a test writes itself; its id."""
    id = new_id()
    enqueueing.insert([Call(task, {}, "bulk", 1, f"{key}:{id}", id=id).row(None, {})])
    return id


def same_worker(house: Cluster) -> Callable[[], bool]:
    """A condition: no worker ended."""
    return lambda: all(process.poll() is None for name, process in house.processes.items() if "worker" in name)


FOREIGN = [
    b"5", b"\xff\x00", b"nonsense", b"[" * 5000, b"{}", b"null", b'{"__type__": "datetime", "__value__": 5}',
    message(["a", "list"]), message({}), message(7), message("7"), message(None), message(new_id(), ["a", "list"]),
    message(new_id(), headers=[1]), message(new_id(), headers="x"), message(new_id(), headers=None),
    message(new_id(), properties=5), message(new_id(), properties={"delivery_tag": [1]}),
    message(new_id(), properties={"delivery_tag": "x", "body_encoding": "rot13"}),
    message(new_id(), "other.project"),
]  # fmt: skip


def test_what_is_no_message_of_ours_is_taken_out_and_kept_and_costs_no_restart(house: Cluster):
    lives = same_worker(house)
    push("bulk", *(each if isinstance(each, bytes) else json.dumps(each) for each in FOREIGN))
    key = f"analytics:{house.order().json()['number']}"
    until(in_state(key, "succeeded"))
    kept = list(ForeignMessage.objects.order_by("-id")[: len(FOREIGN)])[::-1]
    assert [each.queue for each in kept] == ["bulk"] * len(FOREIGN)
    assert "5" in kept[0].text
    assert "nonsense" in kept[2].text
    assert "'a', 'list'" in kept[7].text
    assert lives()


def test_a_broadcast_that_is_no_message_costs_no_restart(house: Cluster):
    lives = same_worker(house)
    with redis.Redis.from_url(broker.url()) as client:
        channel = f"/{client.connection_pool.connection_kwargs['db']}.celery.pidbox"
        for junk in "5", "nonsense", "{}", '{"properties": {"delivery_tag": [1]}}':
            until(lambda junk=junk: client.publish(channel, junk), what="a worker hears it, after it subscribed anew")
    key = f"analytics:{house.order().json()['number']}"
    until(in_state(key, "succeeded"))
    until(lambda: len(current_app.control.broadcast("ping", reply=True, timeout=2, limit=3)) == 3)
    assert lives()


def test_a_worker_obeys_nothing_in_a_message_but_the_name_of_its_job(house: Cluster):
    """Celery would cancel the job, hold it for a year, kill its body, and enqueue another job with any arguments."""
    lives, callback = same_worker(house), current_app.signature(PURGE, immutable=True)
    options = {"callbacks": [dict(callback)], "errbacks": None, "chain": [dict(callback)], "chord": None}
    ids = [ready_job(f"{number}", PURGE) for number in range(5)]
    jobs = Job.objects.filter(task=PURGE).count()  # orders of earlier tests may still enqueue others
    for id, headers in zip(
        ids,
        [{"expires": "2020-01-01T00:00:00Z"}, {"eta": "2100-01-01T00:00:00Z"}, {"timelimit": [0.001, 0.001]},
         {"timelimit": "x", "shadow": ["x"], "stamps": 5, "group": {}, "retries": "x"}, {}], strict=True,
    ):  # fmt: skip
        forged = message(id, PURGE, body=json.dumps([[], {}, options]))
        forged["headers"] |= headers
        push("bulk", json.dumps(forged))
    until(lambda: Job.objects.filter(id__in=ids, state="succeeded", claims=1).count() == len(ids))
    assert Job.objects.filter(task=PURGE).count() == jobs
    assert lives()


def test_remote_control_looks_and_changes_nothing(house: Cluster):
    lives, id = same_worker(house), ready_job("revoked", PURGE)
    for command, arguments in [
        ("shutdown", {}), ("revoke", {"task_id": id}), ("cancel_consumer", {"queue": "bulk"}),
        ("pool_shrink", {"n": 2}),
        ("rate_limit", {"task_name": PURGE, "rate_limit": "1/h"}), ("hello", {"from_node": "x", "revoked": [id]}),
    ]:  # fmt: skip
        answers = current_app.control.broadcast(command, arguments, reply=True, timeout=60, limit=3)
        assert [*{str(*answer.values()) for answer in answers}] == [
            str({"error": f"{command} is refused: BACKROOM_REMOTE_CONTROL is off"})
        ]
    assert len(current_app.control.broadcast("ping", reply=True, timeout=60, limit=3)) == 3
    push("bulk", json.dumps(message(id, PURGE)))
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists())
    assert lives()


@contextmanager
def defective(house: Cluster) -> Iterator[subprocess.Popen]:
    """Another worker in place of worker-bulk; its main thread fails at two messages."""
    house.processes["worker-bulk"].terminate()
    house.processes["worker-bulk"].wait(60)
    command = [*house.commands()["worker-bulk"], "--include", "tests.acceptance.consumer_that_hangs"]
    begin = timezone.now()
    with (house.logs / "defective.log").open("wb") as log:
        process = subprocess.Popen(command, env=house.env, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: Heartbeat.objects.filter(role="worker", queues="bulk", started_at__gt=begin).exists())
        yield process
    finally:
        process.kill()


def running_job(house: Cluster, partners: str) -> str:
    """The key of a job that the worker is running."""
    fault(partners, "analytics", latency_ms=60_000)
    key = f"analytics:{house.order().json()['number']}"
    until(in_state(key, "running"))
    return key


def runs_elsewhere(house: Cluster, partners: str, key: str) -> None:
    assert (job(key).state, job(key).attempts) in [("waiting", 0), ("ready", 0)]
    fault(partners, "analytics")
    house.start("worker-bulk")
    until(in_state(key, "succeeded"))


def test_a_worker_whose_main_thread_hangs_ends_and_its_jobs_run_elsewhere(house: Cluster, partners: str):
    """Its heartbeat's thread and its children are well: nothing else would find out."""
    with defective(house) as process:
        key, unknown = running_job(house, partners), ready_job("unknown", "of.another.release")
        push("bulk", json.dumps(message(unknown, "of.another.release")))
        until(lambda: Job.objects.get(id=unknown).error)
        for child in children(process.pid):
            os.kill(child, signal.SIGSTOP)  # so that the body never ends
        assert process.wait(60) != 0
    assert "its main thread is at" in (house.logs / "defective.log").read_text()
    probe = [sys.executable, "probe.py", "worker", "bulk"]
    assert subprocess.run(probe, cwd=CHECKOUT, env=house.env, capture_output=True).returncode == 1
    assert ("queue-without-worker", "bulk") in [
        (found.rule.name, found.subject) for found in rules.findings(stats.snapshot()) if found.wrong
    ]
    runs_elsewhere(house, partners, key)


@pytest.mark.slow
def test_a_worker_ends_at_once_at_an_error_that_celery_calls_unrecoverable(house: Cluster, partners: str):
    """Celery would wait for the running body first, and may never end."""
    with defective(house) as process:
        key = running_job(house, partners)
        push("bulk", json.dumps(message(new_id(), "breaks")))
        assert process.wait(60) != 0
    assert "Unrecoverable error" in (house.logs / "defective.log").read_text()
    runs_elsewhere(house, partners, key)
