"""Publishing against a real broker: well, refusing connections, hanging, and refusing messages."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis
from celery import current_app, signals
from django.db import connection, transaction

from backroom import enqueue_all, task
from backroom.ledger import transitions
from backroom.ledger.models import Job
from backroom.ops import rules
from backroom.ops.metrics import BackRoom
from backroom.ops.stats import snapshot
from backroom.runtime import broker, foreign, lost_messages, oldest
from backroom.runtime.dispatcher import Dispatcher
from tests.integration import broker as sick
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@task(name="tests.nothing")
def nothing() -> None:
    """Only its message matters here."""


@pytest.fixture(autouse=True)
def _empty_broker() -> Iterator[None]:
    current_app.control.purge()
    yield
    until(lambda: not broker.switch.is_off, what="the publisher is switched on again")


@contextmanager
def broker_at(port: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(current_app.conf.changes, "CELERY_BROKER_URL", f"redis://127.0.0.1:{port}/0")
        yield


@contextmanager
def hung_broker() -> Iterator[None]:
    """A broker that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, broker_at(server.getsockname()[1]):
        yield


@contextmanager
def refusing_broker() -> Iterator[None]:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with broker_at(port):
        yield


REFUSALS = [sick.full, sick.replica, sick.without_replicas]


def waiting_messages() -> int:
    with redis.Redis.from_url(broker.url()) as server:
        return server.llen("default")


def test_nothing_is_published_before_the_commit_and_all_of_it_after():
    with transaction.atomic():
        nothing.enqueue()
        nothing.enqueue()
        assert waiting_messages() == 0
    assert waiting_messages() == 2


@pytest.mark.parametrize("trouble", [hung_broker, refusing_broker, *REFUSALS])
def test_a_broker_in_trouble_costs_the_first_caller_little_and_the_next_nothing(trouble):
    times = []
    with trouble():
        for _ in range(3):
            begin = time.monotonic()
            id = nothing.enqueue()
            times.append(time.monotonic() - begin)
            assert Job.objects.get(id=id).state == "waiting"
    first, *rest = times
    assert first < 2 * broker.TIMEOUT
    assert max(rest) < broker.TIMEOUT  # the switch is off: no call waits for the broker


def test_the_dispatcher_publishes_what_a_broker_in_trouble_did_not_take():
    with refusing_broker():
        id = nothing.enqueue()
        assert Dispatcher().publish_due() is False
        assert Job.objects.get(id=id).state == "waiting"
    Dispatcher().publish_due()
    assert Job.objects.get(id=id).state == "ready"
    assert waiting_messages() == 1


def test_the_dispatcher_logs_a_brokers_outage_once_and_its_end(caplog):
    dispatcher = Dispatcher()
    with refusing_broker():
        nothing.enqueue()
        caplog.clear()
        for _ in range(2):
            dispatcher.publish_due()
            assert dispatcher.requeue_lost_messages() == []
    publish_all(dispatcher)
    assert said_by_dispatcher(caplog) == ["the broker fails, waitin", "the broker answers again"]


def publish_all(dispatcher: Dispatcher) -> None:
    """Publish until the dispatcher takes the broker for mended."""
    until(lambda: not dispatcher.publish_due() and not dispatcher.broker_outage.begun)


def said_by_dispatcher(caplog) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.name == "backroom.runtime.dispatcher"]
    return [line[:24] for line in said]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_broker_that_answers_and_takes_no_messages_costs_one_try_and_loses_none(refusal, caplog):
    dispatcher = Dispatcher()
    ids = [nothing.enqueue() for _ in range(20)]
    transitions.requeue_ready(ids)
    current_app.control.purge()
    with refusal():
        dispatcher.publish_due()
        tried = stamps()
        for _ in range(20):
            dispatcher.publish_due()
            dispatcher.probe_at = 0
        assert stamps() == tried
    publish_all(dispatcher)
    assert waiting_messages() == 20
    assert not Job.objects.exclude(state="ready").exists()
    assert said_by_dispatcher(caplog) == ["the broker fails, waitin", "the broker answers again"]


def stamps() -> list:
    """When each job was handed to the broker, by the ledger."""
    return list(Job.objects.order_by("id").values_list("state", "published_at"))


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (sick.full, "its memory is full"),
        (sick.replica, "read-only replica"),
        (sick.without_replicas, "fewer replicas"),
        (sick.refusing_the_password, "refuses the password"),
        (refusing_broker, "Connection refused"),
        (hung_broker, "Timeout"),
    ],
)
def test_operators_read_why_the_broker_takes_no_messages(trouble, words):
    with trouble():
        (said,) = [found.says for found in rules.findings(snapshot()) if found.rule.name == "broker-away"]
        (scraped,) = [family for family in BackRoom().collect() if family.name == "backroom_broker_problem"]
    assert words in said
    assert words in scraped.samples[0].labels["problem"]
    assert broker.problem() == ""


def test_sentinels_that_are_away_are_a_phrase_to_operators():
    with sick.broker_at("sentinel://:secret@127.0.0.1:9/0;sentinel://:secret@127.0.0.1:10/0"):
        assert re.fullmatch("No master found for '[^']*'", broker.problem())


def test_messages_that_the_broker_lost_are_published_again():
    id = nothing.enqueue()
    current_app.control.purge()
    dispatcher = Dispatcher()
    dispatcher.rescue_at = 0
    until(lambda: dispatcher.requeue_lost_messages() == [id], what="taken for lost")
    dispatcher.publish_due()
    assert waiting_messages() == 1


def test_one_lost_message_is_found_among_others_of_the_same_moment(monkeypatch):
    """As of a worker that dies between a delivery and the claim, while a thousand others wait."""
    monkeypatch.setattr(oldest, "LOOK", 3)
    monkeypatch.setattr(lost_messages, "FEW", 2)
    first, *_ = enqueue_all(*[nothing.call() for _ in range(5)])
    with redis.Redis.from_url(broker.url()) as server:
        assert first in server.rpop("default").decode()
    dispatcher = Dispatcher()
    assert dispatcher.requeue_lost_messages() == []  # it may be on its way to a claim
    until(lambda: dispatcher.requeue_lost_messages() == [first], what="taken for lost")
    dispatcher.publish_due()
    assert waiting_messages() == 5
    current_app.control.purge()
    assert first not in dispatcher.lost_messages.look()  # its new message may be on its way, too


def test_the_oldest_message_of_a_queue_is_known():
    assert [each.stamp for each in oldest.read(["default", "bulk"]).values()] == [None, None]
    begin = time.time()
    nothing.enqueue()
    middle = time.time()
    nothing.enqueue()
    assert begin <= oldest.read(["default"])["default"].stamp <= middle


@pytest.mark.parametrize("message", [b"junk", b"{}", b"[1, 2]", b"null", b'{"headers": {"published_at": "soon"}}'])
def test_a_message_that_is_no_task_does_not_keep_others_from_being_rescued(message):
    with redis.Redis.from_url(broker.url()) as server:
        server.lpush("default", message)
    assert [each.stamp for each in oldest.read(["default", "bulk"]).values()] == [0.0, None]


def test_messages_under_a_projects_key_prefix_are_not_taken_for_lost(monkeypatch):
    options = {**current_app.conf.broker_transport_options, "global_keyprefix": "shop:"}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    broker.template.cache_clear()
    try:
        id = nothing.enqueue()
        stamp = Job.objects.get(id=id).published_at.timestamp()
        assert oldest.read(["default"]) == {"default": oldest.Oldest(stamp, frozenset([id]), whole=True)}
    finally:
        broker.template.cache_clear()


def test_a_worker_reads_our_messages_as_celerys_own_which_go_out_where_code_receives_its_signals():
    id = nothing.enqueue()
    seen = []

    def receive(headers, **_):
        seen.append(headers["id"])

    signals.before_task_publish.connect(receive)
    try:
        transitions.requeue_ready([id])
        Dispatcher().publish_due()
    finally:
        signals.before_task_publish.disconnect(receive)
    assert seen == [id]
    with redis.Redis.from_url(broker.url()) as server:
        celerys, ours = (as_a_worker_reads(item) for item in server.lrange("default", 0, -1))
    assert ours.pop("published_at") < celerys.pop("published_at")
    assert ours == celerys


def as_a_worker_reads(item: bytes) -> dict:
    message = foreign.Message(json.loads(item), channel=broker.connection().default_channel)
    assert foreign.is_job(message)
    tag = message.delivery_tag
    foreign.strip(message)
    assert tag
    return {**message.headers, "payload": message.payload}


def test_two_dispatchers_at_once_publish_each_due_job_once():
    ids = [nothing.enqueue() for _ in range(50)]
    transitions.requeue_ready(ids)
    current_app.control.purge()

    def dispatch() -> None:
        try:
            Dispatcher().publish_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(dispatch) for _ in range(8)]:
            future.result()
    assert waiting_messages() == 50
