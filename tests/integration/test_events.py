"""The consumer's timers, and its task events as Flower hears them: none is lost at a stop or with its connection."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from types import SimpleNamespace

import pytest
import redis
from celery import current_app
from celery.concurrency.base import BasePool
from celery.worker import state
from celery.worker.consumer import Connection, Events
from kombu.asynchronous import Hub

from backroom.runtime import broker
from backroom.runtime.consumer import Consumer
from tests.waiting import until


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """Connected to the broker."""
    hub, controller = Hub(), SimpleNamespace(use_eventloop=True)
    consumer = Consumer(None, app=current_app, controller=controller, hub=hub, timer=hub.timer, pool=BasePool(1))
    connect(consumer)
    yield consumer
    consumer.shutdown()
    hub.close()


def connect(consumer: Consumer) -> None:
    """As at its start, and after a lost connection."""
    for step in consumer.steps:
        if isinstance(step, Connection | Events):
            step.start(consumer)


@pytest.fixture
def heard() -> Iterator[Callable[[], str]]:
    """Waits for the next message with task events; returns the ids of all tasks of which it heard."""
    found: list[str] = []
    with current_app.connection_for_read() as connected:
        hear = {"*": lambda event: found.append(event["uuid"])}
        receiver = current_app.events.Receiver(connected, hear, routing_key="task.#")
        with receiver.consumer_context(wakeup=False) as (listening, _, _):

            def next_message(seconds: float = 30) -> str:
                with suppress(TimeoutError):
                    listening.drain_events(timeout=seconds)
                return " ".join(found)

            next_message(0.1)  # subscribes
            with redis.Redis.from_url(broker.url()) as server:
                until(server.pubsub_numpat)
            yield next_message


def test_events_before_a_stop_and_of_the_last_jobs_are_published(consumer, heard):
    consumer.event_dispatcher.send("task-started", uuid="before")
    consumer.stop()
    assert heard() == "before"
    consumer.event_dispatcher.send("task-succeeded", uuid="last")
    consumer.shutdown()
    assert heard() == "before last"


def test_events_outlast_a_lost_connection(consumer, heard):
    dispatcher = consumer.event_dispatcher
    dispatcher.send("task-started", uuid="before")
    client = dispatcher.producer.channel.client
    client.client_kill_filter(_id=client.client_id(), skipme=False)
    connect(consumer)
    assert consumer.event_dispatcher is not dispatcher
    assert heard() == "before"


def test_a_dead_child_is_looked_for_again_at_once(consumer, monkeypatch):
    """Its pipe, which wakes Celery, may close before waitpid reports it; Celery's next look is up to 5 s later."""
    looked = Event()
    monkeypatch.setattr(state, "requests", {"id": "the child's job"})
    consumer.pool.maintain_pool = looked.set
    consumer.register_with_event_loop(consumer.hub)
    until(lambda: consumer.hub.fire_timers() and looked.is_set(), 2)
