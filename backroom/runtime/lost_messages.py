"""Ready jobs whose message the broker no longer has: it was emptied, a worker died between delivery and claim, or a
process between commit and publish.

`rescue.lost_messages` tells by the stamp of the oldest waiting message, which says nothing of jobs published at about
that time. So the jobs published first are looked for among the oldest messages, too.
"""

import time

from celery import current_app

from backroom.ledger import rescue
from backroom.ledger.sql import returned_ids
from backroom.runtime import broker

PATIENCE = 2.0  # seconds for which a message may be on its way to the broker, or to a claim
FEW, MANY = 50, 5_000  # jobs: the oldest of a long queue, in about the order of its messages; and all of a short one
FIRST = "SELECT id FROM backroom_job WHERE state = 'ready' AND queue = %s ORDER BY published_at, id LIMIT %s"


class LostMessages:
    """Remembers which jobs it missed. One that another look finds claimed, or with a message, was never lost."""

    def __init__(self) -> None:
        self.missed_at: dict[str, float] = {}  # by id; of time.monotonic

    def look(self) -> list[str]:
        """The ids of jobs to requeue. A wrong one costs a second message, whose claim finds nothing. Raises the
        transport's errors and django.db.Error."""
        lost: list[str] = []
        missed: list[str] = []
        for queue, oldest in broker.oldest_messages(each.name for each in current_app.amqp.queues.values()).items():
            lost += rescue.lost_messages(queue, oldest.stamp)
            if oldest.ids is not None:
                first = returned_ids(FIRST, queue, MANY if oldest.whole else FEW)
                missed += [id for id in first if id not in oldest.ids]
        now = time.monotonic()
        self.missed_at = {id: self.missed_at.get(id, now) for id in missed}
        return [*lost, *(id for id, since in self.missed_at.items() if now - since >= PATIENCE)]
