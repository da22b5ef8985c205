"""The life of a job with real processes: workers, dispatcher, partners, Flower."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import urllib3
from django.contrib.auth import get_user_model
from django.db import connection
from django.urls import reverse

from backroom.ledger import operations, sql
from backroom.ledger.models import Attempt, Job
from backroom.runtime import publisher
from orders.models import Order
from tests.acceptance.conftest import Cluster, effects, fault, in_state, job, requests
from tests.acceptance.processes import broker_frozen, children
from tests.integration import broker as sick
from tests.messages import all_wait
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

FOLLOW_UPS = ("invoice", "receipt", "fraud", "capture", "shipment", "analytics", "loyalty", "recommendations")


def all_done(number: str) -> bool:
    keys = [f"{kind}:{number}" for kind in FOLLOW_UPS]
    return Job.objects.filter(key__in=keys, state="succeeded").count() == len(keys)


def test_an_order_is_answered_and_all_its_follow_ups_are_done(house: Cluster, partners: str):
    answer = house.order()
    assert answer.status == 201, answer.data
    number = answer.json()["number"]
    until(lambda: all_done(number), what=f"follow-ups of {number}: {list(Job.objects.values_list('key', 'state'))}")
    for key in ("payment", "fraud", "capture", "shipment", "analytics", "receipt"):
        assert [effect["count"] for effect in effects(partners, f"{key}:{number}")] == [1], key


def test_a_second_delivery_of_a_finished_job_does_nothing(house: Cluster, partners: str):
    number = house.order().json()["number"]
    until(in_state(f"receipt:{number}", "succeeded"))
    done = job(f"receipt:{number}")
    publisher.send([sql.Message(str(done.id), done.task, done.queue, done.args, {}, time.time())] * 3)
    marker = house.order().json()["number"]  # the queue is first-in first-out: behind this one all three were seen
    until(in_state(f"receipt:{marker}", "succeeded"))
    assert job(f"receipt:{number}").claims == 1
    assert [effect["count"] for effect in effects(partners, f"receipt:{number}")] == [1]


def test_what_can_not_run_yet_waits_in_the_broker_and_not_in_a_worker(house: Cluster, partners: str):
    """Where a worker hoards messages, a job waits behind a slow one beside a free worker, and is taken for lost."""
    fault(partners, "analytics", hang=True)
    numbers = [house.order().json()["number"] for _ in range(6)]  # the worker has two children
    sent = Job.objects.filter(key__in=[f"analytics:{number}" for number in numbers])
    until(lambda: sent.filter(state="running").count() == 2)
    assert all_wait(sent.filter(state="ready").values_list("id", flat=True), "bulk")
    fault(partners, "analytics")
    until(lambda: sent.filter(state="succeeded").count() == 6)


def test_a_retry_waits_until_it_is_due_and_flower_shows_it(house: Cluster, partners: str):
    house.start("flower")
    fault(partners, "analytics", status=503)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(lambda: Job.objects.filter(key=key, state="waiting", attempts__gte=1).exists())
    assert flower_state(house, str(job(key).id)) == "RETRY"
    due = job(key).run_at
    fault(partners, "analytics")
    until(in_state(key, "succeeded"))
    assert job(key).started_at >= due
    assert job(key).attempts > 1
    until(lambda: flower_state(house, str(job(key).id)) == "SUCCESS")
    assert [effect["count"] for effect in effects(partners, key)] == [1]


def flower_state(house: Cluster, id: str) -> str:
    """What Flower knows of a task, once it has heard of it and the worker has reported its end."""

    def ask() -> str | None:
        answer = urllib3.request(
            "GET",
            f"{house.env['FLOWER_URL']}/api/task/info/{id}",
            headers=urllib3.make_headers(basic_auth=house.env["FLOWER_BASIC_AUTH"]),
        )
        state = answer.json()["state"] if answer.status == 200 else None
        return state if state not in (None, "RECEIVED", "STARTED", "PENDING") else None

    return str(until(ask, what="Flower knows the task"))


def test_a_permanent_error_is_a_dead_letter_at_once_and_a_replay_finishes_it(house: Cluster, partners: str, client):
    fault(partners, "analytics", status=400)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(in_state(key, "dead"))
    assert job(key).attempts == 1
    fault(partners, "analytics")
    client.force_login(get_user_model().objects.create_superuser("chief"))
    form = {"verb": "replay", "step": "do", "why": "the partner is back", "id": str(job(key).id)}
    answer = client.post(reverse("ops:act"), form)
    assert answer.status_code == 302
    until(in_state(key, "succeeded"))
    assert [effect["count"] for effect in effects(partners, key)] == [1]


def test_a_hung_broker_costs_a_customer_little_and_the_jobs_run_once_it_is_back(house: Cluster, partners: str):
    house.order()
    usual = min(timed(house) for _ in range(5))
    times, numbers = [], []
    with broker_frozen():
        for _ in range(4):
            begin = time.monotonic()
            answer = house.order()
            times.append(time.monotonic() - begin)
            assert answer.status == 201
            numbers.append(answer.json()["number"])
    assert max(times) < usual + 5, times  # 0.3 s more where no other process needs the CPU, and 12 s by .delay()
    for number in numbers:
        until(lambda number=number: all_done(number))
        assert [effect["count"] for effect in effects(partners, f"receipt:{number}")] == [1]


def timed(house: Cluster) -> float:
    begin = time.monotonic()
    assert house.order().status == 201
    return time.monotonic() - begin


def test_a_web_process_killed_while_its_charge_is_on_the_way_leaves_an_order_that_is_settled(
    house: Cluster, partners: str
):
    earlier = list(Order.objects.values_list("number", flat=True))
    body = {"url": f"{house.site}/api/orders", "order": house.product}
    customer = subprocess.Popen([sys.executable, "-c", ORDER_SLOWLY, json.dumps(body)])
    number = until(lambda: Order.objects.exclude(number__in=earlier).first()).number
    until(lambda: urllib3.request("GET", f"{partners}/payments/authorizations/payment:{number}").status == 200)
    house.kill("web")
    customer.wait(60)
    assert job(f"settle:{number}").state == "waiting"
    operations.reschedule(f"settle:{number}")  # it would be asked in a minute
    until(lambda: all_done(number))
    assert [effect["count"] for effect in effects(partners, f"payment:{number}")] == [1]


ORDER_SLOWLY = """
import json, sys, urllib3
from urllib3.exceptions import HTTPError
given = json.loads(sys.argv[1])
customer = dict(email="a@example.org", name="A", address="1 Road", city="Cork", postcode="T12", country="IE")
try:
    urllib3.request("POST", given["url"], retries=False, timeout=15, json=dict(
        customer, card="demo-slow", lines=[dict(product=given["order"], quantity=1)]))
except HTTPError:
    pass
"""


def test_the_job_of_a_workers_killed_child_runs_again(house: Cluster, partners: str):
    """test_money kills whole workers."""
    fault(partners, "analytics", hang=True)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(in_state(key, "running"))
    for child in children(house.processes["worker-bulk"].pid):
        os.kill(child, signal.SIGKILL)
    fault(partners, "analytics")
    until(lambda: Attempt.objects.filter(job_id=job(key).id).exists(), 15, "the promised rescue")
    until(in_state(key, "succeeded"))
    assert job(key).attempts == 2
    assert [effect["count"] for effect in effects(partners, key)] == [1]
    # Its main process waits neither for the heartbeat nor for the slack.
    assert f"job {job(key).id}: its child died" in (house.logs / "worker-bulk.log").read_text()


def test_workers_outlive_a_broker_that_refuses_messages_and_go_on_by_themselves(house: Cluster, partners: str):
    stop = house.processes["worker-bulk"]
    stop.terminate()
    stop.wait(60)
    running = house.processes["worker-default"]
    with sick.full(), sick.replica():
        until(lambda: "read-only replica" in (house.logs / "worker-default.log").read_text())
        bulk = house.begin("worker-bulk")
        until(lambda: (house.logs / "worker-bulk.log").read_text().count("the broker fails"))
        number = house.order().json()["number"]
    until(lambda: all_done(number))
    assert (running.poll(), bulk.poll()) == (None, None)


def test_a_database_lost_under_a_running_job_does_not_make_it_run_twice(house: Cluster, partners: str):
    fault(partners, "analytics", latency_ms=2000)
    number = house.order().json()["number"]
    key = f"analytics:{number}"
    until(in_state(key, "running"))
    until(lambda: requests(partners, "analytics"), what="the job has read its order and is with the partner")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    until(in_state(key, "succeeded"))
    assert job(key).claims == 1
    assert [effect["count"] for effect in effects(partners, key)] == [1]


def test_a_worker_told_to_stop_finishes_its_job_and_takes_no_other(house: Cluster, partners: str):
    fault(partners, "analytics", latency_ms=2000)
    first = house.order().json()["number"]
    until(in_state(f"analytics:{first}", "running"))
    house.processes["worker-bulk"].terminate()
    second, third = (house.order().json()["number"] for _ in range(2))
    house.processes["worker-bulk"].wait(60)
    states = {job.key: job.state for job in Job.objects.filter(task="orders.send_analytics")}
    assert "running" not in states.values()
    assert states[f"analytics:{first}"] == "succeeded"
    fault(partners, "analytics")
    house.start("worker-bulk")
    for number in (first, second, third):
        until(in_state(f"analytics:{number}", "succeeded"))
        assert job(f"analytics:{number}").claims == 1
