"""Publishing: job ids to the broker, bounded in time, in one round trip, and never a customer's problem.

After a failure this process stops publishing until the broker takes messages again. Meanwhile the dispatcher publishes.
"""

import logging
from collections.abc import Sequence

from celery import current_app
from kombu.pools import producers

from backroom.ledger import transitions
from backroom.ledger.sql import Message
from backroom.observe import context
from backroom.runtime import broker

log = logging.getLogger(__name__)


def send(messages: Sequence[Message]) -> None:
    """Publish all in one round trip. Raises the transport's errors; some may have arrived all the same."""
    pool = producers[broker.template(broker.url())]
    with (
        context.of_publishing(messages),
        pool.acquire(block=True, timeout=broker.TIMEOUT) as producer,
        producer.batch(),
    ):
        for message in messages:
            _send_one(producer, message)


def _send_one(producer, message: Message) -> None:
    amqp = current_app.amqp
    body = amqp.create_task_message(message.id, message.task, argsrepr="()", kwargsrepr=repr(message.args))
    amqp.send_task_message(
        producer,
        message.task,
        body,
        queue=message.queue,
        retry=False,
        declare=[] if producer.connection.transport.driver_type == "redis" else None,  # a Redis list needs no declaring
        headers={"published_at": message.published_at},
    )


def publish(messages: Sequence[Message]) -> None:
    """Publish after a commit. Never raises: jobs whose messages the broker refuses go back to the dispatcher."""
    if not broker.switch.is_off:
        try:
            return send(messages)
        except Exception as error:
            log.warning("the broker takes no messages (%s): the dispatcher will publish", broker.describe(error))
            broker.switch.turn_off()
    try:
        transitions.requeue_ready([message.id for message in messages])
    except Exception:
        log.exception("jobs could not be requeued: the dispatcher will find that their messages are lost")
