"""Publishing: job ids to the broker, bounded in time, in one round trip, and never a customer's problem. SQS takes ten
in one, RabbitMQ confirms all together.

After a failure this process stops publishing until the broker takes messages again. Meanwhile the dispatcher publishes.
"""

import base64
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from celery import current_app, signals

from backroom.ledger import transitions
from backroom.ledger.sql import Message
from backroom.observe import context
from backroom.runtime import broker, confirms, foreign, sqs

log = logging.getLogger(__name__)

BODY = base64.b64encode(foreign.BODY).decode()


def send(messages: Sequence[Message]) -> None:
    """Publish all in one round trip. Raises the transport's errors; some may have arrived all the same."""
    kind = broker.kind()
    with context.of_publishing(messages), broker.producer() as producer:
        if kind == "amqp":
            with confirms.awaited(producer.channel, len(messages), broker.TIMEOUT):
                _send_by_celery(producer, messages)
        elif kind not in PUSHED or _watched():
            _send_by_celery(producer, messages)
        else:
            PUSHED[kind](producer.channel, _items(messages))


def _watched() -> bool:
    """Whether the project receives Celery's signals about messages."""
    return bool(signals.before_task_publish.receivers or signals.after_task_publish.receivers)


def _items(messages: Sequence[Message]) -> dict[str, list[str]]:
    """The messages of each queue. Celery and kombu take five times as long to make them one by one."""
    items = defaultdict(list)
    for message in messages:
        items[message.queue].append(_item(message))
    return items


def _push(channel: Any, items: Mapping[str, list[str]]) -> None:
    """One LPUSH for each queue."""
    with channel.client.pipeline(transaction=False) as pipeline:
        for queue, its in items.items():
            pipeline.lpush(queue, *its)
        pipeline.execute()


def _item(message: Message) -> str:
    """The message as kombu writes it, with those of Celery's headers that a worker reads."""
    headers = {
        "lang": "py",
        "id": message.id,
        "task": message.task,
        "argsrepr": "()",
        "kwargsrepr": repr(message.args)[: foreign.SHOWN],
        "published_at": message.published_at,
    }
    properties = {
        "correlation_id": message.id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": message.queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": f"{message.id} {message.published_at}",
    }
    kind = {"content-type": "application/json", "content-encoding": "utf-8"}
    return json.dumps({"body": BODY, **kind, "headers": headers, "properties": properties})


PUSHED: dict[str, Callable[[Any, Mapping[str, list[str]]], None]] = {"redis": _push, "sqs": sqs.push}


def _send_by_celery(producer: Any, messages: Sequence[Message]) -> None:
    amqp = current_app.amqp
    # kombu before 5.7 has no batches, and makes a round trip for each message.
    with getattr(producer, "batch", nullcontext)():
        for message in messages:
            body = amqp.create_task_message(
                message.id, message.task, argsrepr="()", kwargsrepr=repr(message.args)[: foreign.SHOWN]
            )
            amqp.send_task_message(
                producer,
                message.task,
                body,
                queue=message.queue,
                retry=False,
                declare=[] if broker.kind() == "redis" else None,  # a list needs none
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
