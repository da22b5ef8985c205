"""A failover by Redis Sentinel, with real sentinels."""

from collections.abc import Iterator

import pytest
import redis
from celery import current_app

from backroom.outbound import breaker
from backroom.runtime import broker, oldest
from backroom.runtime.dispatcher import Dispatcher
from tests.integration.broker import broker_at
from tests.integration.broker_jobs import leaves
from tests.integration.other_broker import empty, started
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory) -> Iterator[dict[str, str]]:
    yield from started("sentinel", tmp_path_factory.mktemp("sentinel"))


def test_publishing_looking_and_scripts_follow_sentinel_through_a_failover(sentinel, settings, monkeypatch):
    options = {**current_app.conf.broker_transport_options, "master_name": sentinel["BROKER_MASTER"]}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    settings.BACKROOM_PARTNER_RATES = {"mail": 1000.0}
    with broker_at(sentinel["BROKER_ADMIN_URL"]):
        broker.template.cache_clear()
        empty()
        first = leaves.enqueue("first")
        assert oldest.read(["bulk"])["bulk"].ids == {first}
        assert [gate["state"] for gate in breaker.states()] == ["closed"]
        host, port = sentinel["BROKER_ADMIN_URL"].rpartition("@")[2].partition("/")[0].split(":")
        with redis.Redis(host, int(port), decode_responses=True) as watcher:
            before = watcher.sentinel_get_master_addr_by_name(sentinel["BROKER_MASTER"])
            watcher.execute_command("SENTINEL", "FAILOVER", sentinel["BROKER_MASTER"])
            until(lambda: watcher.sentinel_get_master_addr_by_name(sentinel["BROKER_MASTER"]) != before, 30)
        until(lambda: broker.failure() is None, 30)
        second = leaves.enqueue("second")
        dispatcher = Dispatcher()
        until(lambda: rescued(dispatcher, second), 60)  # the old primary may take a message in its last moment
        until(breaker.states, 30)
    broker.template.cache_clear()


def rescued(dispatcher: Dispatcher, id: str) -> bool:
    dispatcher.publish_due()
    dispatcher.requeue_lost_messages()
    return id in oldest.read(["bulk"])["bulk"].ids
