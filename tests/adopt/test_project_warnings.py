"""A project without backroom.ops reads in its log what it lacks."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis
from celery import current_app
from django.utils import timezone

from backroom.ledger.models import Job
from backroom.runtime import project_warnings
from backroom.runtime.call import new_id
from backroom.runtime.dispatcher import Dispatcher
from tests.integration.heartbeats import process, worker_beats

pytestmark = pytest.mark.django_db


def ready(queue: str, seconds: float) -> None:
    """A job of this queue, published `seconds` ago."""
    published_at = timezone.now() - timedelta(seconds=seconds)
    Job.objects.create(id=new_id(), task="tests.any", queue=queue, state="ready", published_at=published_at)


def test_a_queue_with_due_jobs_and_no_live_worker_is_a_warning(caplog):
    worker_beats("there", "default,critical")
    ready("default", 60)
    ready("bulk", 60)
    ready("bulk", 60)
    ready("bulk", 1)  # a worker may be on its way
    project_warnings.warn_of_unserved_queues()
    assert caplog.messages == [
        "the queue bulk has 2 due jobs and no worker: start one with `celery -A PROJECT worker -Q bulk`"
    ]


def test_queues_that_have_a_worker_are_no_warning(caplog):
    worker_beats("there", ",".join(current_app.amqp.queues))
    ready("bulk", 60)
    project_warnings.warn_of_unserved_queues()
    assert caplog.messages == []


def test_a_missing_dispatcher_is_a_warning(caplog):
    worker_beats("there", "default")
    project_warnings.warn_of_missing_dispatcher()
    assert caplog.messages == [
        "no dispatcher is running, so no job is retried or rescued: start `manage.py dispatcher`"
    ]


def test_a_running_dispatcher_is_no_warning(caplog):
    process("dispatcher")
    project_warnings.warn_of_missing_dispatcher()
    assert caplog.messages == []


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The run's broker. Its memory has no limit, so no policy evicts anything from it."""
    with redis.Redis.from_url(os.environ["BROKER_URL"]) as client:
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.acl_deluser("limited")


@pytest.mark.parametrize(
    ("policy", "errors"), [("noeviction", 0), ("volatile-lru", 0), ("allkeys-lru", 1), ("allkeys-random", 1)]
)
def test_a_broker_that_evicts_messages_is_an_error(broker, caplog, policy, errors):
    broker.config_set("maxmemory-policy", policy)
    project_warnings.warn_of_eviction()
    assert [record.levelname for record in caplog.records] == ["ERROR"] * errors
    assert all(f"maxmemory-policy {policy}): set it to noeviction" in line for line in caplog.messages)


def test_a_broker_that_refuses_to_show_its_settings_is_left_alone(broker, caplog, monkeypatch):
    """As hosted ones do."""
    broker.config_set("maxmemory-policy", "allkeys-lru")
    broker.acl_setuser(
        "limited", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-config"]
    )
    url = urlsplit(os.environ["BROKER_URL"])
    limited = url._replace(netloc=f"limited:pw@{url.hostname}:{url.port}").geturl()
    monkeypatch.setitem(current_app.conf, "broker_write_url", limited)
    with redis.Redis.from_url(limited) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.config_get("maxmemory-policy")
    project_warnings.warn_of_eviction()
    assert caplog.messages == []


def test_a_dispatcher_checks_the_broker_at_its_start(broker, caplog):
    broker.config_set("maxmemory-policy", "allkeys-lru")
    Dispatcher().do_chores_if_due()
    assert [line for line in caplog.messages if "maxmemory-policy allkeys-lru" in line]


def test_a_warning_is_repeated_once_a_minute():
    looks = []
    warning = project_warnings.EveryMinute(lambda: looks.append(time.monotonic()), patience=0)
    for _ in range(3):
        warning()
    assert len(looks) == 1
    warning.due -= project_warnings.EVERY
    warning()
    assert len(looks) == 2
    patient = project_warnings.EveryMinute(looks.clear)
    patient()
    assert len(looks) == 2
