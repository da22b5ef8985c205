"""Flower as it is run: it shows nothing without the password, and does nothing even with it."""

import json
import re
import subprocess

import pytest
from flower.urls import handlers
from tornado.web import URLSpec

from backroom import enqueue_all
from backroom.ledger.models import Job
from backroom.ops.tasks import purge_history
from tests.acceptance.conftest import ask, fault
from tests.cluster import Cluster
from tests.messages import redis_client
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

OPEN = {"/healthcheck", r"/static/(.*)", r"/login/?", "/logout", ".*"}  # whether it runs; its own scripts; no such page


def paths() -> list[str]:
    """Every address that this version of Flower knows, as a pattern."""
    return [each.regex.pattern.rstrip("$") if isinstance(each, URLSpec) else each[0] for each in handlers]


def filled_in(path: str) -> str:
    return re.sub(r"\(\.[+*]\)", "bulk@nowhere", path)


DOES = re.compile("/api/(worker/|task/(apply|async-apply|send-task|abort|timeout|rate-limit|revoke)/)")
SHOWS = [path for path in paths() if path not in OPEN and not DOES.match(path)]
ACTS = [path for path in paths() if DOES.match(path)]


@pytest.fixture(scope="module")
def flower(open_house: Cluster) -> str:
    """The shop's own Flower; its address."""
    open_house.start("flower", LIMITS="sign_ins_by_account=off,sign_ins_by_client=off")
    return open_house.env["FLOWER_URL"]


@pytest.mark.parametrize("account", ["", "staff:guess"])
def test_without_the_password_nothing_is_shown_and_nothing_done(flower: str, account: str):
    assert len(SHOWS) > 10
    assert len(ACTS) > 10
    for method, some in ("GET", SHOWS), ("POST", ACTS):
        for path in some:
            answer = ask(method, flower + filled_in(path), account)
            assert (answer.status, answer.data in (b"", b"Access denied")) == (401, True), path
    for path in "/login", "/nonsense":
        answer = ask("GET", flower + path)
        assert (answer.status, b"bulk@" in answer.data) == (404, False), path
    assert ask("GET", f"{flower}/healthcheck").data == b"OK"


def test_with_the_password_it_shows_all_and_does_nothing(flower: str, open_house: Cluster):
    account = open_house.env["FLOWER_BASIC_AUTH"]
    for path in "/workers", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/task/types":
        assert ask("GET", flower + path, account).status == 200, path
    for path in ACTS:
        answer = ask("POST", flower + filled_in(path), account, json={"args": []})
        assert (answer.status, answer.data) == (403, b"Read only mode is enabled"), path


def test_it_shows_each_step_of_a_burst_of_jobs_and_few_messages_carry_them(flower: str, house: Cluster):
    account, before = house.env["FLOWER_BASIC_AUTH"], published()
    ids = enqueue_all(*[purge_history.call() for _ in range(100)])
    until(lambda: Job.objects.filter(id__in=ids, state="succeeded").count() == len(ids))

    def seen() -> bool:
        tasks = ask("GET", f"{flower}/api/tasks?taskname=backroom.purge_history", account).json()
        shown = [tasks[id] for id in ids if id in tasks]
        steps = [(task["state"], *map(bool, (task["received"], task["started"], task["succeeded"]))) for task in shown]
        return steps == [("SUCCESS", True, True, True)] * len(ids)

    until(seen)
    assert published() - before < 300  # as many as these events, without those of the heartbeats


def test_it_shows_a_retry_a_failure_and_the_success_of_a_warm_stop(flower: str, house: Cluster, partners: str):
    account = house.env["FLOWER_BASIC_AUTH"]

    def seen(id: str, state: str) -> bool:
        answer = ask("GET", f"{flower}/api/task/info/{id}", account)
        task = json.loads(answer.data) if answer.status == 200 else {}
        return task.get("state") == state and bool(task["received"] and task["started"])

    fault(partners, "analytics", status=503)
    retried = id_of(f"analytics:{house.order().json()['number']}")
    until(lambda: seen(retried, "RETRY"))
    fault(partners, "analytics", status=400)
    failed = id_of(f"analytics:{house.order().json()['number']}")
    until(lambda: seen(failed, "FAILURE"))
    fault(partners, "analytics", latency_ms=800)
    last = id_of(f"analytics:{house.order().json()['number']}")
    until(lambda: Job.objects.get(id=last).state == "running")
    house.processes["worker-bulk"].terminate()
    assert house.processes["worker-bulk"].wait(60) == 0
    until(lambda: seen(last, "SUCCESS"))


def id_of(key: str) -> str:
    return str(Job.objects.get(key=key).id)


def published() -> int:
    """Messages since the broker started, to those who listen now."""
    with redis_client() as server:
        return server.info("commandstats")["cmdstat_publish"]["calls"]


def test_without_a_password_of_its_own_it_does_not_start(house: Cluster):
    started = [
        subprocess.Popen(
            house.commands()["flower"], env=house.env | {"FLOWER_BASIC_AUTH": junk}, stderr=subprocess.PIPE, text=True
        )
        for junk in ("", "staff", "staff:eleven-char")
    ]
    for process in started:
        assert "FLOWER_BASIC_AUTH should be user:password" in process.communicate(timeout=60)[1]
