"""RabbitMQ and SQS: publishing, lost messages and refusals."""

import time

import pytest
from celery import current_app
from django.db import transaction
from kombu import Queue

from backroom import enqueue_all
from backroom.ledger import transitions
from backroom.ledger.models import Job
from backroom.outbound import breaker
from backroom.runtime import broker, publisher, scripts
from backroom.runtime.dispatcher import Dispatcher
from backroom.runtime.lost_messages import LostMessages
from tests.integration.broker import broker_at
from tests.integration.broker_jobs import leaves
from tests.integration.other_broker import a_broker, a_server, empty, published_before, waiting  # noqa: F401 - fixtures
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_the_messages_of_a_commit_are_there_once_it_returns(there):
    with transaction.atomic():
        ids = enqueue_all(*[leaves.call(str(number)) for number in range(25)])
        assert waiting() == 0
    assert waiting() == 25
    assert Job.objects.filter(id__in=ids, state="ready").count() == 25


def test_what_merely_waits_in_a_long_queue_is_not_published_again(there):
    ids = enqueue_all(*[leaves.call(str(number)) for number in range(5)])
    published_before(3600, *ids)
    looks = LostMessages()
    for _ in range(3):
        assert looks.look() == []
        time.sleep(0.3)


def test_what_was_published_before_a_claimed_job_and_is_not_claimed_is_lost(there):
    slack = 6 if there == "rabbitmq" else 306
    lost, delivered, waits = enqueue_all(*[leaves.call(text) for text in ("lost", "delivered", "waits")])
    published_before(3600, lost)
    published_before(3600 - slack, delivered)
    assert transitions.claim(delivered, "a worker")
    looks = LostMessages()
    until(lambda: looks.look() == [lost], 10)
    assert Job.objects.get(id=waits).state == "ready"


def test_a_job_that_was_requeued_and_is_claimed_by_its_first_message_makes_no_other_one_lost(there):
    thawed, *others = enqueue_all(*[leaves.call(text) for text in ("thawed", "waits", "waits, too")])
    published_before(3600, thawed, *others)
    transitions.requeue_ready([thawed])
    Dispatcher().publish_due()
    assert transitions.claim(thawed, "a worker")
    looks = LostMessages()
    for _ in range(3):
        assert looks.look() == []
        time.sleep(0.3)


def test_the_jobs_of_an_emptied_queue_are_published_again_once(there):
    old, young = enqueue_all(leaves.call("old"), leaves.call("young"))
    published_before(6 if there == "rabbitmq" else 66, old)
    empty()
    dispatcher = Dispatcher()
    until(dispatcher.requeue_lost_messages, 10)
    dispatcher.publish_due()
    assert waiting() == 1
    assert Job.objects.get(id=young).state == "ready"
    assert dispatcher.requeue_lost_messages() == []


def test_breakers_and_limits_live_in_a_redis_beside_it(there, settings):
    settings.BACKROOM_PARTNER_RATES = {"mail": 1000.0}
    assert not scripts.in_broker()
    assert [gate["state"] for gate in breaker.states()] == ["closed"]


def rabbitmq(name: str) -> None:
    if name != "rabbitmq":
        pytest.skip("about RabbitMQ")


def test_a_classic_queue_of_the_same_name_is_a_clear_error(there, monkeypatch):
    rabbitmq(there)
    with broker.connection() as raw:
        raw.default_channel.queue_declare("old", durable=True, auto_delete=False)
    monkeypatch.setitem(current_app.amqp.queues, "old", Queue("old", routing_key="old"))
    assert "delete that once it is empty" in broker.problem()
    assert "'old'" in broker.problem()


def test_a_wrong_password_is_a_clear_error(there, server):
    rabbitmq(there)
    address = server["BROKER_URL"]
    with broker_at(address.replace(address.split(":")[2].split("@")[0], "wrong")):
        assert "refuses the user of the broker URL, the password" in broker.problem()


def test_a_message_that_a_delivery_limit_drops_is_found(there, monkeypatch):
    rabbitmq(there)
    limited = Queue("limited", routing_key="limited", queue_arguments={"x-delivery-limit": 1})
    monkeypatch.setitem(current_app.amqp.queues, "limited", limited)
    id = leaves.using(queue_name="limited").enqueue("dropped")
    published_before(6, id)
    with broker.connection() as raw:
        channel = raw.default_channel
        for _ in range(2):
            found = until(lambda: channel.basic_get("limited"))
            channel.basic_reject(found.delivery_tag, requeue=True)
    assert LostMessages().look() == [id]


def test_the_connection_of_a_publisher_outlives_a_close_by_the_broker(there):
    """As a restart: the connection is dead before the next message."""
    rabbitmq(there)
    leaves.enqueue("first")
    with broker.producer() as producer:
        producer.connection.connection.transport.sock.shutdown(2)
    leaves.enqueue("second")
    assert not broker.switch.is_off
    assert waiting() == 2


def test_a_publisher_waits_for_no_confirm_of_a_broker_that_is_gone():
    """The others pay for it, in test_publisher.py, as here."""
    begin = time.monotonic()
    with broker_at("amqp://127.0.0.1:9"):
        leaves.enqueue("first")
        assert broker.switch.is_off
        publisher.publish([])
    assert time.monotonic() - begin < 10
