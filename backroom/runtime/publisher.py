"""Handing job ids to the broker: bounded in time, one round trip for many, and never a customer's problem.

Measured with the broker down: a plain `.delay()` takes 0.6 s when it is refused and over 12 s when the broker hangs;
with these timeouts and no retries 2-4 ms and 0.3 s. After the first failure nobody waits: publishing is switched off
in this process until a thread of its own has seen the broker answer; meanwhile the dispatcher publishes.
"""

import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache

from celery import current_app
from kombu import Connection
from kombu.pools import producers

from backroom.ledger import transitions
from backroom.observe import context

log = logging.getLogger(__name__)

TIMEOUT = 0.25  # seconds to connect, and again for each read or write
PROBE_EVERY = 1.0  # seconds between looks at a broker that failed

_down = threading.Event()
_switching = threading.Lock()


def connection() -> Connection:
    """A new connection to the broker with short timeouts, for publishing and asking only."""
    return _template(_url()).clone()


def _url() -> str:
    return current_app.conf.broker_write_url or current_app.conf.broker_url


@lru_cache
def _template(url: str) -> Connection:
    """What the pool of producers and all connections are made from; it is never opened itself."""
    options = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "max_retries": 0,
        **dict.fromkeys(("interval_start", "interval_step", "interval_max"), 0),
    }
    return Connection(
        url,
        transport_options={**current_app.conf.broker_transport_options, **options},
        connect_timeout=TIMEOUT,
    )


def warm_up() -> None:
    """Import what publishing needs: 0.2 s, which the first customer of a web process should not wait for."""
    _ = connection().transport


def send(messages: Sequence[transitions.Message]) -> None:
    """Publish all in one round trip. Raises whatever the transport does; some may have arrived all the same."""
    pool = producers[_template(_url())]
    with context.of_publishing(messages), pool.acquire(block=True, timeout=TIMEOUT) as producer, producer.batch():
        for message in messages:
            _send_one(producer, message)


def _send_one(producer, message: transitions.Message) -> None:
    amqp = current_app.amqp
    body = amqp.create_task_message(message.id, message.task, argsrepr="()", kwargsrepr=repr(message.args))
    amqp.send_task_message(
        producer,
        message.task,
        body,
        queue=message.queue,
        retry=False,
        declare=[] if producer.connection.transport.driver_type == "redis" else None,  # a list needs no declaring
        headers={"published_at": message.published_at},
    )


def publish(messages: Sequence[transitions.Message]) -> None:
    """Publish after a commit. Never raises; what the broker does not take, the dispatcher publishes."""
    if not is_off():
        try:
            return send(messages)
        except Exception as error:
            log.warning("the broker took no messages (%s): the dispatcher will publish", error)
            switch_off()
    try:
        transitions.unpublish([message.id for message in messages])
    except Exception:
        log.exception("publishing could not be taken back: the dispatcher will take the messages for lost")


def is_off() -> bool:
    """Whether this process has found the broker in trouble and leaves it alone until it answers again."""
    return _down.is_set()


def switch_off() -> None:
    """Leave the broker alone until it answers again: nobody else in this process shall wait for it."""
    with _switching:
        if not _down.is_set():
            _down.set()
            threading.Thread(target=_switch_on_when_it_answers, daemon=True, name="broker-probe").start()


def _switch_on_when_it_answers() -> None:
    while not answers():
        time.sleep(PROBE_EVERY)
    _down.clear()
    log.warning("the broker answers again")


def answers() -> bool:
    """Whether the broker answers within the timeouts."""
    try:
        with connection() as probe:
            return bool(probe.default_channel)  # opening it asks the broker
    except Exception:
        return False


def oldest_messages(queues: Iterable[str]) -> dict[str, float | None]:
    """For each queue the stamp, as Unix time, of the oldest message waiting in the broker; None if none waits.

    Where the broker can't be looked into (only Redis can), ten minutes ago. Raises what the transport does."""
    with connection() as broker:
        if broker.transport.driver_type != "redis":
            return dict.fromkeys(queues, time.time() - 600)
        client = broker.default_channel.client
        return {queue: _published_at(client.lindex(queue, -1)) for queue in queues}


def _published_at(message: bytes | None) -> float | None:
    """A message of someone else's, without our stamp, proves nothing lost: 0."""
    try:
        return None if message is None else float(json.loads(message)["headers"]["published_at"])
    except (ValueError, TypeError, LookupError):
        return 0.0
