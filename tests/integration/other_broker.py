"""RabbitMQ or SQS as the broker of this process, a real server."""

from collections.abc import Iterator

import pytest
from celery import current_app
from django.db import connection

from backroom.runtime import broker, oldest
from tests import brokers
from tests.integration.broker import broker_at

SET = """
UPDATE backroom_job SET published_at = statement_timestamp() - %s * interval '1 second' WHERE id = ANY(%s::uuid[])
"""


def started(name: str, folder) -> Iterator[dict[str, str]]:
    try:
        with brokers.running(name, folder) as env:
            yield {**env, "name": name}
    except brokers.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=["rabbitmq", "sqs"], name="server")
def a_server(request, tmp_path_factory) -> Iterator[dict[str, str]]:
    yield from started(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(name="there")
def a_broker(server, settings, monkeypatch) -> Iterator[str]:
    """The broker is this server, and empty; its name. An SQS is as good as AWS's, but for the minutes."""
    settings.BACKROOM_REDIS_URL = server["REDIS_URL"]
    monkeypatch.setattr(oldest, "OTHERS", oldest.OTHERS._replace(every=0.2))
    with broker_at(server["BROKER_URL"]):
        empty()
        yield server["name"]


def empty() -> None:
    """Take all out of the queues. SQS allows one purge of a queue in a minute."""
    with broker.producer() as producer:
        for queue, count in oldest.counts(list(current_app.amqp.queues)).items():
            for _ in range(count):
                if message := producer.channel.basic_get(queue):
                    producer.channel.basic_ack(message.delivery_tag)


def waiting(queue: str = "bulk") -> int:
    return oldest.counts([queue])[queue]


def published_before(seconds: float, *ids: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SET, [seconds, list(ids)])
