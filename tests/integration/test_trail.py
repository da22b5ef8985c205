"""One trace from the click to the last retry, span by span, and one line in the log for each step of it."""

import json
import logging
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import IntegrityError
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backroom.ledger import operations, transitions
from backroom.ledger.models import Job
from backroom.observe.redact import redact
from backroom.runtime.dispatcher import Dispatcher
from orders.models import Order
from shop.logs import formatter
from tests.integration.buying import FORM, attempt, fault, product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("partners")]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """OpenTelemetry takes one provider in the life of a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """All spans that end during the test."""
    exporter.clear()
    return exporter


@pytest.fixture
def lines() -> Iterator[list[dict]]:
    """All lines of the log, as a machine reads them."""
    found: list[dict] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    reader = Reader()
    reader.setFormatter(formatter("json", redact))
    logging.getLogger().addHandler(reader)
    yield found
    logging.getLogger().removeHandler(reader)


def order(client) -> int:
    product()
    body = json.dumps(FORM | {"lines": [{"product": "apples", "quantity": 1}]})
    answer = client.post("/api/orders", body, content_type="application/json")
    assert answer.status_code == 201
    return answer.json()["number"]


def under(parent: ReadableSpan, spans: list[ReadableSpan]) -> list[str]:
    """The names of a span's children, in the order in which they began."""
    children = [s for s in spans if s.parent and s.parent.span_id == parent.context.span_id]
    return [s.name for s in sorted(children, key=lambda s: s.start_time)]


def test_a_request_its_jobs_their_retries_a_replay_and_the_calls_of_partners_are_one_trace(client, spans):
    fault("analytics", status=503)
    number = order(client)
    key = f"analytics:{number}"
    attempt(key)
    fault("analytics", status=400)
    assert attempt(key).state == "dead"
    fault("analytics")
    operations.replay([str(Job.objects.get(key=key).pk)])
    assert attempt(key).state == "succeeded"
    found = spans.get_finished_spans()
    assert len({span.context.trace_id for span in found}) == 1
    request = next(span for span in found if span.parent is None)
    assert request.name == "POST /api/orders"
    below = under(request, found)
    assert below[0] == "POST payments"
    assert below.count("publish orders.send_analytics") == 1
    assert below[-3:] == ["orders.send_analytics"] * 3
    attempts = [span for span in found if span.name == "orders.send_analytics"]
    assert [span.attributes["job.outcome"] for span in attempts] == ["retry", "dead", "succeeded"]
    numbers = [(span.attributes["job.attempt"], span.attributes["job.claim"]) for span in attempts]
    assert numbers == [(1, 1), (2, 2), (1, 3)], "a replay has a claim of its own"
    assert all(under(span, found) == ["POST analytics"] for span in attempts)


def test_what_machines_ask_every_few_seconds_is_in_no_trace(client, spans):
    for address in "/healthz", "/readyz", "/metrics":
        assert client.get(address)["X-Request-ID"]
    assert not spans.get_finished_spans()
    client.get("/")
    assert spans.get_finished_spans()


def test_a_message_published_by_a_dispatcher_is_in_the_trace_of_its_job(client, spans):
    number = order(client)
    job = Job.objects.get(key=f"analytics:{number}")
    transitions.requeue_ready([str(job.pk)])
    spans.clear()
    Dispatcher().publish_due()
    (span,) = [span for span in spans.get_finished_spans() if span.attributes["job.job"] == str(job.pk)]
    assert f"{span.context.trace_id:032x}" in job.context["traceparent"]


def test_one_request_id_and_the_order_follow_the_work_to_its_last_retry(client, lines):
    fault("analytics", status=503)
    number = order(client)
    job = attempt(f"analytics:{number}")
    fault("analytics")
    attempt(f"analytics:{number}")
    request, first, second = (line for line in lines if line["event"] in ("request", "attempt"))
    assert (request["method"], request["route"], request["status"]) == ("POST", "api/orders", 201)
    assert request["seconds"] > 0
    assert {line["request_id"] for line in (request, first, second)} == {request["request_id"]}
    assert {line["order"] for line in (request, first, second)} == {number}
    assert [(line["attempt"], line["outcome"]) for line in (first, second)] == [(1, "retry"), (2, "succeeded")]
    for line in (first, second):
        assert (line["job"], line["task"], line["key"]) == (str(job.pk), "orders.send_analytics", job.key)
        assert line["seconds"] > 0


def test_the_answer_names_the_request_and_the_next_request_has_another_id_and_no_order(client, lines):
    order(client)
    id = client.get("/cart/")["X-Request-ID"]
    before, last = (line for line in lines if line["event"] == "request")
    assert last["request_id"] == id != before["request_id"]
    assert "order" not in last


def test_no_line_holds_a_token_an_address_or_a_word_searched_for(client, lines):
    number = order(client)
    job = Job.objects.get(key=f"receipt:{number}")
    client.get(f"/orders/{number}/", {"token": "a-secret-token"})
    client.get("/products/", {"q": "a-word"})
    client.get("/no-such-page/a-name")
    attempt(f"invoice:{number}")
    attempt(job.key)
    text = json.dumps(lines, ensure_ascii=False)
    assert "a-secret-token" not in text
    assert "a-word" not in text
    for personal in ("email", "name", "address", "city", "postcode"):
        assert FORM[personal] not in text, personal


@pytest.mark.parametrize("kind", ["json", "pretty"])
def test_no_line_quotes_a_row_of_the_database(kind: str):
    customer = {name: value for name, value in FORM.items() if name != "card"}
    with pytest.raises(IntegrityError) as caught:
        Order.objects.create(**customer, total=None, currency="EUR", fingerprint="")
    error = caught.value
    assert FORM["name"] in str(error)
    record = logging.LogRecord("django.request", logging.ERROR, "", 0, "x %s", (error,), (type(error), error, None))
    options = dict(settings.LOGGING["formatters"]["line"], kind=kind)
    line = options.pop("()")(**options).format(record)
    assert "violates not-null constraint" in line
    assert FORM["name"] not in line
