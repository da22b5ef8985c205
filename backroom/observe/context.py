"""The context of work: a job's row keeps the ids and the trace of the request that enqueued it, so that log lines and
spans follow the work from the click to the last retry, and to a replay weeks later.

Log lines are structlog's. Spans are OpenTelemetry's, and the row keeps W3C's `traceparent`. Both hold ids, never
personal data: arguments of jobs are ids and small values, and errors are shown redacted.
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

from backroom.conf import conf
from backroom.ledger.errors import Cancelled, Snooze
from backroom.ledger.sql import Claimed, Message

tracer = trace.get_tracer("backroom")
log = structlog.get_logger(__name__)


def begin(**ids: str) -> None:
    """Replace this thread's ids: a new request begins."""
    clear_contextvars()
    bind_contextvars(**ids)


def bind(**ids: Any) -> None:
    """Add ids to this thread's log lines and, those of BACKROOM_CONTEXT_IDS, to all jobs enqueued from now on."""
    bind_contextvars(**ids)


def capture() -> dict[str, Any]:
    """The context that a job enqueued now keeps: the carried ids, and the place in the trace."""
    bound = get_contextvars()
    captured = {name: bound[name] for name in conf.CONTEXT_IDS if name in bound}
    propagate.inject(captured)
    return captured


@contextmanager
def resumed(captured: dict[str, Any], **ids: Any) -> Iterator[None]:
    """Restore a captured context, with more `ids`, for the log lines and spans in the block."""
    clear_contextvars()
    token = context.attach(propagate.extract(captured, context=context.Context()))
    try:
        with bound_contextvars(**{name: captured[name] for name in conf.CONTEXT_IDS if name in captured}, **ids):
            yield
    finally:
        context.detach(token)


@contextmanager
def of_publishing(messages: Sequence[Message]) -> Iterator[None]:
    """A span for each published message, in its job's own trace."""
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
def of_call(partner: str, action: str) -> Iterator[dict[str, str]]:
    """A span and a log line for a call to a partner; yields the headers that carry the trace."""
    headers: dict[str, str] = {}
    started, failed = time.monotonic(), {}
    with tracer.start_as_current_span(f"{action} {partner}", kind=SpanKind.CLIENT):
        propagate.inject(headers)
        try:
            yield headers
        except Exception as error:
            failed = {"error": type(error).__name__}
            raise
        finally:
            log.info("call", partner=partner, what=action, **failed, seconds=round(time.monotonic() - started, 3))


@contextmanager
def of_attempt(task: str, job: Claimed) -> Iterator[None]:
    """A span for an attempt and, at its end, a log line with the outcome and the seconds it took."""
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
            outcome = "cancelled" if isinstance(error, Cancelled) else "dead"
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            current.set_attribute("job.outcome", outcome)
            log.info("attempt", outcome=outcome, seconds=round(time.monotonic() - started, 3))
