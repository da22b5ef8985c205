"""The job of a delivery: its key, its lane and its retries."""

from dataclasses import dataclass

from backroom import Call, Retry
from backroom.runtime.lane import Lane
from notifications.endpoints.models import Delivery, Endpoint

HOUR = 3600.0


@dataclass(frozen=True)
class Schedule(Retry):
    """Seconds between the attempts as a list, ± `jitter` of each; the last one holds from then on."""

    waits: tuple[float, ...] = (1.0,)

    def delay(self, attempt: int, chance: float) -> float:
        base = self.waits[min(attempt, len(self.waits)) - 1]
        return base * (1 + self.jitter * (2 * chance - 1))


# Two days, as Standard Webhooks recommends.
SCHEDULE = Schedule(attempts=9, jitter=0.1, waits=(5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR))


def key(delivery: Delivery) -> str:
    return f"webhook:{delivery.pk}-{delivery.round}"


def call(delivery: Delivery, endpoint: Endpoint) -> Call:
    """An endpoint gets one request at a time, so a slow one holds one place of a worker. Strictly in order, an event
    that is retried holds up the later ones; else they pass. Both have one lane, so a change of that keeps it so."""
    lane = Lane(f"limit:endpoint:{endpoint.pk}", 1, dead_blocks=False if endpoint.in_order else None)
    arguments = {"delivery": delivery.pk, "round": delivery.round}
    return Call("notifications.send_webhook", arguments, "webhooks", SCHEDULE.attempts, key(delivery), lane=lane)
