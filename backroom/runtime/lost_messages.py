"""Ready jobs whose message the broker no longer has: it was emptied, a worker died between delivery and claim, or a
process between commit and publish.

`rescue.lost_messages` compares with the stamp of the oldest waiting message, which proves nothing about jobs published
at about that time. So where messages can be read, a look also searches the oldest ones for the jobs published first.

How soon: on Redis and Valkey within seconds. On RabbitMQ 5 s after the queue is empty, or after a worker claims a job
published 5 s later. On SQS 75 to 85 s after the queue is empty, or once a worker claims a job published 5 minutes
later.
"""

import time
from datetime import datetime

from celery import current_app

from backroom.ledger import rescue
from backroom.ledger.sql import rows
from backroom.runtime import broker, oldest

PATIENCE = 2.0  # seconds for which a message may be on its way to the broker, or to a claim
# Jobs that a look compares with the messages: of a long queue the oldest, in about its messages' order; of a short one
# all.
FEW, MANY = 50, 5_000
FIRST = (
    "SELECT id, published_at FROM backroom_job WHERE state = 'ready' AND queue = %s ORDER BY published_at, id LIMIT %s"
)

Published = tuple[str, datetime | None]  # a job's id and its message's time: a requeued job has a new message


class LostMessages:
    """Remembers the messages that a look missed. One was never lost if the next look finds it, or its job claimed."""

    def __init__(self) -> None:
        self.missed_at: dict[Published, float] = {}  # of time.monotonic
        self.claimed = oldest.Claimed()
        self.look_at = 0.0

    def look(self) -> list[str]:
        """The ids of jobs to requeue. A wrong one costs a second message, whose claim finds nothing. Raises the
        transport's errors and django.db.Error."""
        if (now := time.monotonic()) < self.look_at:
            return []
        lost: list[str] = []
        missed: list[Published] = []
        for queue, found in self._oldest().items():
            before = rescue.lost_messages(queue, found.stamp)
            if found.sure:
                lost += before
            else:
                missed += [(id, None) for id in before]
            if found.ids is not None:
                first = rows(FIRST, queue, MANY if found.whole else FEW)
                missed += [(str(id), at) for id, at in first if str(id) not in found.ids]
        now = time.monotonic()
        self.missed_at = {each: self.missed_at.get(each, now) for each in missed}
        return [*lost, *(id for (id, _), since in self.missed_at.items() if now - since >= PATIENCE)]

    def _oldest(self) -> dict[str, oldest.Oldest]:
        queues = [queue.name for queue in current_app.amqp.queues.values()]
        if broker.kind() == "redis":
            return oldest.read(queues)
        self.look_at = time.monotonic() + oldest.lag().every
        return self.claimed.oldest(queues)
