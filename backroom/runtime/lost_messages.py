"""Ready jobs whose message the broker no longer has: it was emptied, a worker died between delivery and claim, or a
process between commit and publish.

`rescue.lost_messages` tells by the stamp of the oldest waiting message, which says nothing of jobs published at about
that time. So the jobs published first are looked for among the oldest messages, too.
"""

import time
from datetime import datetime

from celery import current_app

from backroom.ledger import rescue
from backroom.ledger.sql import rows
from backroom.runtime import broker

PATIENCE = 2.0  # seconds for which a message may be on its way to the broker, or to a claim
FEW, MANY = 50, 5_000  # jobs: the oldest of a long queue, in about the order of its messages; and all of a short one
FIRST = (
    "SELECT id, published_at FROM backroom_job WHERE state = 'ready' AND queue = %s ORDER BY published_at, id LIMIT %s"
)

Published = tuple[str, datetime]  # a job's id, and when: a job that was requeued has another message


class LostMessages:
    """Remembers which messages it missed. If another look finds it, or finds its job claimed, it was never lost."""

    def __init__(self) -> None:
        self.missed_at: dict[Published, float] = {}  # of time.monotonic

    def look(self) -> list[str]:
        """The ids of jobs to requeue. A wrong one costs a second message, whose claim finds nothing. Raises the
        transport's errors and django.db.Error."""
        lost: list[str] = []
        missed: list[Published] = []
        for queue, oldest in broker.oldest_messages(each.name for each in current_app.amqp.queues.values()).items():
            lost += rescue.lost_messages(queue, oldest.stamp)
            if oldest.ids is not None:
                first = rows(FIRST, queue, MANY if oldest.whole else FEW)
                missed += [(str(id), at) for id, at in first if str(id) not in oldest.ids]
        now = time.monotonic()
        self.missed_at = {each: self.missed_at.get(each, now) for each in missed}
        return [*lost, *(id for (id, _), since in self.missed_at.items() if now - since >= PATIENCE)]
