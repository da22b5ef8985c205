"""Backpressure: what an overloaded queue refuses, to whom, and what it never refuses."""

import json
import time
from collections.abc import Iterator

import pytest
import redis
from django.core.management import call_command
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from backroom import Overloaded, enqueue_all, task
from backroom.inbound.overload import OverloadMiddleware
from backroom.ledger.models import Job
from backroom.ledger.sql import Message
from backroom.ops import audit_log
from backroom.runtime import backpressure, broker, publisher
from backroom.runtime.call import new_id
from orders.storefront.problems import ProblemAPI
from tests.integration.broker import broker_at
from tests.integration.scraping import TOKEN, Scrape
from tests.integration.staff import reader, text

pytestmark = pytest.mark.django_db


@task(name="tests.campaign", queue="bulk", shed=True)
def campaign(number: int = 0) -> None:
    pass


@task(name="tests.letter", queue="bulk")
def letter() -> None:
    pass


def send(request: HttpRequest) -> HttpResponse:
    return HttpResponse(campaign.enqueue())


api = ProblemAPI(urls_namespace="tests")
api.post("/send")(lambda request: campaign.enqueue())
urlpatterns = [path("send", send), path("tested/", api.urls), path("", include("shop.urls"))]


@pytest.fixture(autouse=True)
def server(settings) -> Iterator[redis.Redis]:
    """The broker, whose queue `bulk` may hold two messages, and an old one for a minute."""
    settings.BACKROOM_QUEUE_DEPTHS, settings.BACKROOM_QUEUE_OBJECTIVES = {"bulk": 2}, {"bulk": 60}
    settings.ROOT_URLCONF, settings.METRICS_TOKEN = __name__, TOKEN
    with redis.Redis.from_url(broker.url()) as server:
        server.delete("bulk", backpressure.REFUSED)
        yield server
        server.delete("bulk", backpressure.REFUSED)


def publish(*ages: float) -> None:
    """Messages in the queue `bulk`, published that many seconds ago."""
    publisher.send([Message(new_id(), letter.name, "bulk", {}, {}, time.time() - age) for age in ages])


def in_request(function) -> None:
    OverloadMiddleware(lambda request: function())(HttpRequest())


@pytest.mark.parametrize("ages", [(1, 1, 1), (61, 1)], ids=["deep", "old"])
def test_a_queue_over_a_limit_refuses_with_retry_after_and_accepts_once_it_is_below(server, ages):
    publish(*ages)
    for answer in Client().get("/send"), Client().post("/tested/send"):
        assert (answer.status_code, answer["Retry-After"]) == (503, str(backpressure.RETRY_AFTER))
    assert json.loads(answer.content)["title"] == "Service Unavailable"
    assert not Job.objects.exists()
    server.rpop("bulk")
    assert Client().get("/send").content.decode() == str(Job.objects.get().id)


def test_at_its_limit_it_accepts():
    publish(50, 1)
    in_request(campaign.enqueue)
    assert Job.objects.count() == 1


def test_no_task_without_shed_is_refused_nor_what_is_enqueued_with_it():
    publish(61, 1, 1)
    in_request(letter.enqueue)
    in_request(lambda: enqueue_all(letter.call(), campaign.call(1)))
    in_request(lambda: enqueue_all(letter.call().then(campaign.call(2))))
    assert Job.objects.count() == 5
    with pytest.raises(Overloaded):
        in_request(lambda: enqueue_all(campaign.call(3), campaign.call(4).then(campaign.call(5))))
    assert Job.objects.count() == 5


def test_what_no_request_enqueues_and_what_staff_run_is_never_refused():
    publish(1, 1, 1)
    campaign.delay()
    in_request(lambda: audit_log.run("weekly", campaign.call(), "operator", "now"))
    assert Job.objects.count() == 2


def test_a_refusal_leaves_the_callers_transaction_as_it_is():
    publish(1, 1, 1)

    def view() -> None:
        with transaction.atomic():
            letter.enqueue()
            with pytest.raises(Overloaded):
                campaign.enqueue()
            letter.enqueue()

    in_request(view)
    assert Job.objects.count() == 2


def test_a_broker_that_cannot_tell_and_a_queue_without_a_limit_refuse_nothing(settings):
    publish(1, 1, 1)
    with broker_at("memory://"):
        in_request(campaign.enqueue)
    settings.BACKROOM_QUEUE_DEPTHS = {}
    in_request(campaign.enqueue)
    assert Job.objects.count() == 2


@pytest.mark.parametrize("message", [b"", b"[" * 2000, b"\xff", b'{"headers": {"published_at": "x"}}', b"7"])
def test_a_foreign_message_has_no_age(server, message):
    server.lpush("bulk", message)
    assert backpressure.look("bulk") == (False, 1, 0.0, 0)


def test_the_page_the_command_and_the_metrics_show_what_is_refused(capsys):
    publish(30, 1, 1)
    with pytest.raises(Overloaded):
        in_request(lambda: enqueue_all(*map(campaign.call, range(3))))
    page = text(reader().get("/ops/"))
    assert "bulk refuses" in page
    assert "Queue bulk is overloaded: 3 jobs wait, the oldest for 3" in page
    assert "It refuses jobs of tasks with shed=True, 3 so far." in page
    call_command("jobs")
    assert "queue bulk refuses jobs of tasks with shed=True now; 3 refused so far" in capsys.readouterr().out
    scrape = Scrape("?only=jobs")
    assert scrape("queue_refuses", queue="bulk") == 1
    assert scrape("queue_refused_jobs_total", queue="bulk") == 3
