"""The trail that work leaves: what a job's row keeps of the request that enqueued it, so that log lines and spans
follow the work from the click to the last retry, and to a replay weeks later.

Log lines are structlog's; spans are OpenTelemetry's, and the row keeps W3C's `traceparent`. Both hold ids, never
personal data: arguments of jobs are ids and small values, and errors are shown only once they are cleansed.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from celery.exceptions import Ignore, Retry
from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, StatusCode
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars, get_contextvars

from backroom.ledger.errors import Snooze
from backroom.ledger.sql import Claimed, Message

CARRIED = ("request_id", "order")  # the ids that a job takes with it

tracer = trace.get_tracer("backroom")
log = structlog.get_logger(__name__)


def begin(**ids: str) -> None:
    """Forget what was noted in this thread, and note these: a new request begins."""
    clear_contextvars()
    bind_contextvars(**ids)


def note(**ids: Any) -> None:
    """Have these ids in every log line from now on and, those of CARRIED, in all jobs that are enqueued."""
    bind_contextvars(**ids)


def here() -> dict[str, Any]:
    """What a job enqueued now is to remember: the ids noted, and the place in the trace."""
    noted = get_contextvars()
    kept = {name: noted[name] for name in CARRIED if name in noted}
    propagate.inject(kept)
    return kept


@contextmanager
def resumed(kept: dict[str, Any], **ids: Any) -> Iterator[None]:
    """Go on where the job was enqueued: its ids, and `ids`, in the log lines; its trace for the spans."""
    clear_contextvars()
    token = context.attach(propagate.extract(kept, context=context.Context()))
    try:
        with bound_contextvars(**{name: kept[name] for name in CARRIED if name in kept}, **ids):
            yield
    finally:
        context.detach(token)


@contextmanager
def of_publishing(messages: Sequence[Message]) -> Iterator[None]:
    """A span for each job that is handed to the broker, in that job's own trace."""
    spans = [
        tracer.start_span(
            f"publish {message.task}", propagate.extract(message.context, context.Context()), SpanKind.PRODUCER,
            {"job.job": message.id, "job.queue": message.queue},
        )
        for message in messages
    ]  # fmt: skip
    try:
        yield
    finally:
        for span in spans:
            span.end()


@contextmanager
def of_call(partner: str, what: str) -> Iterator[dict[str, str]]:
    """A span and a line for a call of a partner; yields the headers with which it may go on with the trace."""
    headers: dict[str, str] = {}
    started, failed = time.monotonic(), {}
    with tracer.start_as_current_span(f"{what} {partner}", kind=SpanKind.CLIENT):
        propagate.inject(headers)
        try:
            yield headers
        except Exception as error:
            failed = {"error": type(error).__name__}
            raise
        finally:
            log.info("call", partner=partner, what=what, **failed, seconds=round(time.monotonic() - started, 3))


@contextmanager
def of_attempt(task: str, job: Claimed) -> Iterator[None]:
    """A span for an attempt and, when it ends, one line: the outcome, and how many seconds it took."""
    started, outcome = time.monotonic(), "broken off"
    ids = {"job": job.id, "task": task, "key": job.key, "attempt": job.attempts, "claim": job.claims}
    span = tracer.start_as_current_span(
        task, kind=SpanKind.CONSUMER, attributes={f"job.{name}": id for name, id in ids.items() if id is not None},
        record_exception=False, set_status_on_exception=False,
    )  # fmt: skip
    with resumed(job.context, **ids), span as current:
        try:
            yield
            outcome = "succeeded"
        except Ignore:
            outcome = "superseded"
            raise
        except Retry as retry:
            outcome = "snoozed" if isinstance(retry.exc, Snooze) else "retry"
            current.set_status(StatusCode.ERROR, retry.message)
            raise
        except Exception as error:
            outcome = "dead"
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            current.set_attribute("job.outcome", outcome)
            log.info("attempt", outcome=outcome, seconds=round(time.monotonic() - started, 3))
