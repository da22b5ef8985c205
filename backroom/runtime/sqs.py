"""Amazon SQS: ten messages go out in a request, and a worker outlives SQS's refusals and timeouts.

kombu polls in a chain of callbacks. A refusal or a timeout of SQS raises in it, which ends the worker. kombu looks for
a free child once a second, and a job would wait as long.
"""

import base64
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from kombu.asynchronous.http import get_client
from kombu.exceptions import OperationalError
from kombu.transport import virtual

from backroom.observe.outages import OutageLog
from backroom.runtime.switch import PROBE_EVERY

log = logging.getLogger(__name__)

AT_ONCE = 10  # messages: what SQS takes
LOOK_EVERY = 0.02  # seconds between two looks for a free child; SQS itself waits while its queue is empty
MARGIN = 1.0  # seconds in which an answer arrives
SHOWN = 500  # characters of an error, or of a message that kombu can't read


def push(channel: Any, items: Mapping[str, list[str]]) -> None:
    """Send each queue's messages. Raises botocore's errors, and kombu's OperationalError for a message refused."""
    for queue, its in items.items():
        address, client = channel._new_queue(queue), channel.sqs(queue=channel.canonical_queue_name(queue))
        for start in range(0, len(its), AT_ONCE):
            bodies = [base64.b64encode(item.encode()).decode() for item in its[start : start + AT_ONCE]]
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
            answer = client.send_message_batch(QueueUrl=address, Entries=entries)
            if failed := answer.get("Failed"):
                raise OperationalError(f"it refuses {len(failed)} messages: {failed[0].get('Code')}")


def end_polls(consumer: Any) -> None:
    """Stop polling, and wait for the open polls: kombu gives back what they bring. Race: SQS answers a poll whose
    process has ended, and hides that message for its visibility timeout."""
    consumer.task_consumer.cancel()
    client: Any = get_client(consumer.hub)
    deadline = time.monotonic() + consumer.task_consumer.channel.wait_time_seconds + MARGIN
    while len(client._free_list) < client.max_clients and time.monotonic() < deadline:
        consumer.hub.run_once()


class Channel:
    """Over kombu's channel for SQS."""

    hub: Any
    connection: Any
    wait_time_seconds: int
    _schedule_queue: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self.outage = OutageLog(log, "broker")
        super().__init__(*args, **options)

    def asynsqs(self, queue: str | None = None) -> Any:
        connection = super().asynsqs(queue)  # type: ignore[misc]
        connection._on_list_ready = partial(self._received, partial(type(connection)._on_list_ready, connection))
        return connection

    def _received(self, parse: Any, *answer: Any) -> dict[str, Any]:
        """The answer to a request for messages. If the request failed, `parse` returns [] or raises."""
        try:
            found = parse(*answer)
        except Exception as error:
            found = None
            self.outage.begin(f"SQS refuses to be read: {str(error)[:SHOWN]}")
        if isinstance(found, dict):
            self.outage.end()
            return found
        self.outage.begin("SQS does not answer")
        return {}

    def _loop1(self, queue: str, found: int | None = None) -> None:
        """Poll again: at once after a message, a second later after a failure. `found` is the number of messages that
        a poll brought, 0 after a failure, too; kombu passes None where no child was free, so it sent no request."""
        pause = 0 if found else LOOK_EVERY
        if self.outage.begun:
            pause = PROBE_EVERY
        elif found == 0 and not self.wait_time_seconds:  # only the pause limits the requests, which AWS charges
            pause = self.connection.polling_interval
        self.hub.call_later(pause, self._schedule_queue, queue)

    def _message_to_python(self, message: dict[str, Any], queue: str, address: str) -> dict[str, Any]:
        """The payload of a message. For a text that is no message of kombu's, a payload that quotes it."""
        try:
            payload = super()._message_to_python(message, queue, address)  # type: ignore[misc]
            # kombu keeps messages in a dict by this tag. A tag of a stranger's that is a list would end the worker.
            hash(virtual.Message(payload, channel=self).delivery_tag)
        except Exception:
            text = ascii(str(message.get("Body", ""))[:SHOWN])
            payload = {"body": text, "properties": {"delivery_tag": message["ReceiptHandle"]}}
        # The message itself may name another queue, or none.
        own = {"sqs_message": message, "sqs_queue": address, "exchange": "", "routing_key": queue}
        payload["properties"]["delivery_info"] = own
        return payload
