"""SIGTERM, to each process: what runs is finished, what can't be finished goes back at once, and nothing is lost."""

import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from django.utils import timezone

from backroom.ledger import enqueueing, sql
from backroom.ledger.models import Heartbeat, Job
from backroom.runtime import publisher
from backroom.runtime.call import Call, new_id
from backroom.runtime.pulse import STOP_MARGIN
from orders.models import Order
from tests.acceptance.conftest import Cluster, effects, fault, in_state, job, requests
from tests.acceptance.processes import broker_frozen, children
from tests.drill import releases
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def stop(house: Cluster, name: str, seconds: float) -> float:
    """Sends SIGTERM. The process must exit with 0 within `seconds`. Returns the seconds that it took."""
    begin = time.monotonic()
    house.processes[name].terminate()
    assert house.processes[name].wait(seconds) == 0
    return time.monotonic() - begin


def test_a_job_that_outlasts_the_grace_of_its_worker_goes_back_at_once_and_keeps_its_attempt(
    house: Cluster, partners: str
):
    stop(house, "worker-default", 60)
    house.start("worker-default", WORKER_GRACE="8")
    fault(partners, "warehouse", hang=True)
    key = f"shipment:{house.order().json()['number']}"
    until(in_state(key, "running"))
    for child in children(house.processes["worker-default"].pid):
        os.kill(child, signal.SIGSTOP)  # so that the body never ends, however slow this machine is
    Job.objects.filter(key=key).update(max_attempts=1)
    assert stop(house, "worker-default", 60) > 8 - STOP_MARGIN  # and not before
    given = job(key)
    assert given.state in ("waiting", "ready")
    assert (given.attempts, given.error) == (0, "its worker stopped")
    fault(partners, "warehouse")
    house.start("worker-default")
    until(in_state(key, "succeeded"))
    assert (job(key).claims, job(key).attempts) == (2, 1)
    assert [effect["count"] for effect in effects(partners, key)] == [1]


def test_a_sigterm_to_all_processes_of_a_worker_cuts_no_job(house: Cluster, partners: str):
    """As `systemctl stop` does: KillMode=control-group is its default."""
    fault(partners, "analytics", latency_ms=2000)
    key = f"analytics:{house.order().json()['number']}"
    until(in_state(key, "running"))
    until(lambda: requests(partners, "analytics"), what="the job is with the partner")
    worker = house.processes["worker-bulk"]
    for pid in [*children(worker.pid), worker.pid]:
        os.kill(pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    ended = job(key)
    assert (ended.state, ended.claims, ended.attempts) == ("succeeded", 1, 1)


def test_a_worker_can_be_stopped_while_the_broker_hangs(house: Cluster):
    with broker_frozen():
        stop(house, "worker-bulk", 25)


def test_a_web_process_told_to_stop_answers_the_request_that_it_has(house: Cluster):
    earlier = list(Order.objects.values_list("number", flat=True))
    with ThreadPoolExecutor(1) as customer:
        answer = customer.submit(house.order, "demo-slow")  # the payment partner is given two seconds
        until(lambda: Order.objects.exclude(number__in=earlier).filter(status="placed").exists())
        stop(house, "web", 60)
        assert answer.result().status == 202


def test_a_reload_of_the_web_loses_no_request(house: Cluster):
    """As `supervisorctl signal HUP web` does after a deploy: new children begin, and the old ones end their work."""
    old, done = children(house.processes["web"].pid), Event()

    def buy() -> set[int]:
        answers = set()
        while not done.is_set():
            answers.add(house.order().status)  # raises where the connection breaks
        return answers

    with ThreadPoolExecutor(2) as customers:
        answers = [customers.submit(buy) for _ in range(2)]
        try:
            house.processes["web"].send_signal(signal.SIGHUP)
            until(lambda: not set(old) & set(children(house.processes["web"].pid)), 90)
        finally:
            done.set()
    assert set.union(*(answer.result() for answer in answers)) <= {201, 202}  # paid, or being confirmed


def test_children_of_a_killed_web_server_leave_its_port_to_the_next(house: Cluster):
    main = house.processes["web"]
    with socket.create_connection(("127.0.0.1", int(house.env["WEB_PORT"]))) as slow:
        slow.sendall(b"POST /api/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")  # and no more
        until(lambda: house.order().status == 201)
        orphans = children(main.pid)
        main.kill()
        main.wait()
        until(lambda: not [pid for pid in orphans if Path(f"/proc/{pid}/cmdline").exists()], what="their end")
    house.start("web")
    assert house.order().status == 201


@pytest.mark.parametrize("name", ["dispatcher", "beat"])
def test_the_dispatcher_and_beat_stop_at_once(house: Cluster, name: str):
    begin = timezone.now()
    house.start(name)
    until(lambda: Heartbeat.objects.filter(role=name, seen_at__gt=begin).exists())
    stop(house, name, 30)


def test_an_old_worker_hands_a_new_task_on_to_a_new_one(house: Cluster, tmp_path: Path):
    id = new_id()
    # As the web of the new release would: a task that is not here, with a single attempt.
    stamps = enqueueing.insert([replace(Call("orders.thank", {"number": 1}, "bulk", 1), id=id).row(None, {})])
    publisher.publish([sql.Message(id, "orders.thank", "bulk", {"number": 1}, {}, stamps[id])])
    until(lambda: Job.objects.get(id=id).error == "no task is named orders.thank")
    release = releases.make(tmp_path / "after", releases.AFTER)
    with (tmp_path / "worker.log").open("wb") as log:
        command = Cluster.commands(house)["worker-bulk"]  # the release has no tests
        new = subprocess.Popen(command, cwd=release, env=house.env, stdout=log, stderr=log)
    try:
        stop(house, "worker-bulk", 60)  # as a deploy does: else it may win the job again and again
        until(lambda: Job.objects.get(id=id).state == "succeeded", 90)
    finally:
        new.terminate()
        new.wait(70)
    assert (Job.objects.get(id=id).result, Job.objects.get(id=id).attempts) == (1, 1)
