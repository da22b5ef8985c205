"""One attempt at a delivery: a signed POST, and what came back."""

import json
import time
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F
from standardwebhooks.webhooks import Webhook

from backroom import RetryAfter, Snooze
from backroom.ledger.models import Job
from backroom.outbound import breaker, strangers
from backroom.outbound.strangers import NoAnswer
from notifications.endpoints import jobs, transitions
from notifications.endpoints.models import Attempt, Delivery, Endpoint, Event

PAUSED = 86_400.0  # seconds between two looks at a paused endpoint; transitions.resume cuts the wait short
SHOWN = 1_000  # characters of an answer that are kept
GONE = 410


class Undelivered(Exception):
    """The endpoint did not accept the event: it is retried. The text names no address."""


def send(delivery_id: int, round: int) -> None:
    """One attempt. Nothing happens to a delivery that has ended, or is in another round.

    Every answer but 2xx and 410 is retried, redirects too. After the last attempt the delivery has failed, and the job
    has done its work: only its owner can mend that, so no dead letter asks staff to. Limit: an attempt whose worker
    dies after the answer is made again, with the same webhook-id.
    """
    waiting = Delivery.objects.filter(pk=delivery_id, round=round, state=Delivery.State.WAITING)
    delivery = waiting.select_related("event", "endpoint").first()
    if delivery is None:
        return
    if delivery.endpoint.state == Endpoint.State.PAUSED:
        raise Snooze(PAUSED, "its endpoint is paused")
    if delivery.endpoint.state == Endpoint.State.OFF:
        return transitions.cancel(delivery)
    attempt, seconds = _attempt(delivery)
    if not _record(delivery, attempt):
        why = f"endpoint {delivery.endpoint_id}: {attempt.status or 'no answer'}"
        raise RetryAfter(seconds, why) if seconds else Undelivered(why)


def _attempt(delivery: Delivery) -> tuple[Attempt, int]:
    """The attempt, unsaved, and the seconds for which the endpoint asks to be left alone."""
    body = content(delivery.event)
    breaker.pace(f"endpoint:account-{delivery.endpoint.user_id}")  # at the rate of one, however many an account has
    headers = signed(delivery.endpoint, delivery.event.pk, body, datetime.now(UTC))
    attempt = Attempt(delivery=delivery, request="\n".join([*map(": ".join, headers.items()), "", body]))
    begun = time.monotonic()
    try:
        answer = strangers.post(
            delivery.endpoint.url, body.encode(), headers,
            name=f"endpoint:{delivery.endpoint_id}", key=jobs.key(delivery),
        )  # fmt: skip
    except NoAnswer as error:
        attempt.error, seconds = str(error)[:300], 0
    else:
        attempt.status, seconds = answer.status, answer.retry_after
        attempt.answer = answer.body.decode(errors="replace").replace("\0", "\ufffd")[:SHOWN]
    attempt.milliseconds = round((time.monotonic() - begun) * 1000)
    return attempt, seconds


def _record(delivery: Delivery, attempt: Attempt) -> bool:
    """Keep the attempt and its consequence; False if it is to be retried. Race: its owner deletes the endpoint now.
    The locks let one of the two wait, in the order of `transitions.delete`."""
    rows = Endpoint.objects.filter(pk=delivery.endpoint_id), Delivery.objects.filter(pk=delivery.pk)
    with transaction.atomic():
        if not all(row.select_for_update(no_key=True).first() for row in rows):
            return True
        attempt.save()
        if attempt.status and 200 <= attempt.status < 300:
            transitions.deliver(delivery)
        elif attempt.status == GONE:
            transitions.fail(delivery, last=True)
            transitions.switch_off(delivery.endpoint_id)
        else:
            last = Job.objects.filter(key=jobs.key(delivery), attempts__gte=F("max_attempts")).exists()
            transitions.fail(delivery, last)
            return last
    return True


def content(event: Event) -> str:
    """The same text in each attempt."""
    return json.dumps(
        {"type": event.type, "timestamp": event.at.isoformat(), "data": event.data}, separators=(",", ":")
    )


def signed(endpoint: Endpoint, id: str, body: str, now: datetime) -> dict[str, str]:
    """The headers of a request, as Standard Webhooks has them."""
    signatures = [Webhook(secret).sign(id, now, body) for secret in endpoint.secrets(now)]
    return {
        "content-type": "application/json",
        "user-agent": "Backroom-Webhooks",
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
