"""Messages are not trusted: the broker's password lets other programs, and people, write into the queues.

A worker takes two things from a message, a job's id and its task's name, and the claim compares both with the row. What
has neither is taken out of its queue, kept for a person, and costs no restart.
"""

import json
import logging
import re
import uuid
from typing import Any

from celery.utils.saferepr import saferepr
from django.db import connection
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from backroom.ledger.sql import rows
from backroom.runtime import sqs

log = logging.getLogger(__name__)

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT, SHOWN = 100, 500  # messages that stay in the table, and characters of each
BODY = json.dumps([[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
KEEP = """
WITH old AS (DELETE FROM backroom_foreignmessage WHERE id <= (SELECT max(id) FROM backroom_foreignmessage) - %s)
INSERT INTO backroom_foreignmessage (queue, text) VALUES (%s, %s) RETURNING id
"""


def is_job(message: Any) -> bool:
    """Whether it names a job."""
    id, task = message.headers.get("id"), message.headers.get("task")
    return isinstance(id, str) and bool(UUID.fullmatch(id)) and isinstance(task, str)


def strip(message: Any) -> None:
    """Leave of a job's message what counts and what Celery's events show. Celery obeys the rest: `expires` would cancel
    the job, `timelimit` kill it, and callbacks in the body enqueue others with any arguments."""
    headers = message.headers
    message.headers = {
        "id": headers["id"],
        "task": headers["task"],
        "argsrepr": "()",
        "kwargsrepr": str(headers.get("kwargsrepr", ""))[:SHOWN],
        "published_at": headers.get("published_at"),  # for the dispatcher, where a closing channel gives it back
    }
    message.body, message.content_type, message.content_encoding = BODY, "application/json", "utf-8"
    message.properties = {"delivery_tag": message.delivery_tag}
    message._decoded_cache, message.errors = None, []


def keep(message: Any) -> None:
    """Write it down for a person. A database that is away costs the row: the message is gone."""
    queue = str(message.delivery_info.get("routing_key", ""))[:100]
    content = {"headers": message.headers, "body": message.body} if message.headers else message.body
    text = _text(content)[:SHOWN].replace("\0", "\\0")  # PostgreSQL stores no NUL and no lone surrogate
    text = text.encode("ascii", "backslashreplace").decode()[:SHOWN]
    log.warning("a message in queue %s is no job's, it was taken out: see /ops/", queue)
    try:
        rows(KEEP, KEPT - 1, queue, text)
    except Exception:
        log.exception("the message could not be kept")
        connection.close()


def _text(content: Any) -> str:
    """A text stays as it is: Message and `_readable` have quoted it, and kombu may have encoded it."""
    if isinstance(content, bytes):
        return content.decode(errors="backslashreplace")
    return content if isinstance(content, str) else saferepr(content, maxlen=SHOWN)


def keep_if_jobless(message: Any) -> bool:
    """Keep a message of an unknown task if no job has its id: another project's, not another release's."""
    if rows("SELECT FROM backroom_job WHERE id = %s", message.headers["id"]):
        return False
    keep(message)
    return True


class Message(virtual.Message):
    """Made of anything: of a payload that is no message it quotes the text, and has no headers."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
            hash(self.delivery_tag)
        except Exception:
            super().__init__({"body": _text(payload), "properties": {"delivery_tag": str(uuid.uuid4())}}, channel)


class Channel:
    """Over kombu's channel for Redis, which raises what ends a worker at each item that is not as kombu writes it."""

    Message = Message

    def _create_client(self, **options: Any) -> Any:
        client = super()._create_client(**options)  # type: ignore[misc]
        client.set_response_callback("BRPOP", _readable)
        return client

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, *args: Any, **options: Any) -> Any:
        def deliver(message: Message) -> Any:
            message.delivery_info = {"exchange": "", "routing_key": queue}  # it may say another queue, or none
            return callback(message)

        return super().basic_consume(queue, no_ack, deliver, *args, **options)  # type: ignore[misc]


def _readable(found: Any, **_: Any) -> tuple[Any, Any] | None:
    """The queue and the item; JSON that quotes the item, where it is no JSON that kombu can read."""
    if not found:
        return None
    queue, item = found
    try:
        loads(bytes_to_str(item))
    except Exception:  # the recursion's limit, too
        item = json.dumps(ascii(item[:SHOWN]))
    return queue, item


GUARDS: dict[str, type] = {"redis": Channel, "sqs": sqs.Channel}


def guard(transport: Any) -> None:
    """Let this kind of transport make guarded channels, in this process."""
    guarded = GUARDS.get(transport.driver_type)
    if guarded and not issubclass(transport.Channel, guarded):
        type(transport).Channel = type("Channel", (guarded, transport.Channel), {})
