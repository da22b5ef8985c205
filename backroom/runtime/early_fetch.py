"""Fetch a child's next message while the child still writes its finish. Else it waits for the broker's answer then.

A child announces the end of each body. Its main process then counts the child's job as reserved no more, and
acknowledges its message, which means nothing to the ledger: so Celery's own limits let one more message come. That one
waits here, in the pool's buffer, and the next free child gets it. A finish takes about a millisecond. If it hangs, as
while the database is away, the message goes back to its queue, and so it does at a stop.

A message that is here when the process dies, or when the broker's connection does, is lost as at each delivery: its job
is not claimed, and the rescue publishes it again. The same holds if a dispatcher misses the message meanwhile.
"""

import logging
from typing import Any

from celery.worker import state

from backroom.runtime import body_ends

log = logging.getLogger(__name__)


class EarlyFetch:
    """In the main process."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.waited: set[Any] = set()  # what waited for a free child at the last tick

    def register(self, hub: Any) -> None:
        """At each connection to the broker: the loss of one empties the hub."""
        if body_ends.pipe:
            hub.add_reader(body_ends.pipe[0], self._read)

    def _read(self) -> None:
        """Race: the job's result came first, or its child has died. Then its request is gone."""
        for id in body_ends.announced():
            if request := state.requests.get(id):
                state.reserved_requests.discard(request)
                request.acknowledge()

    def tick(self) -> None:
        """Give back what waits since the last tick: one message for each finish that lets it wait. That one's job
        counts as reserved again, so no other message comes in its place."""
        for job in self.waited.intersection(self._buffer):
            if finishing := state.active_requests - state.reserved_requests:
                state.reserved_requests.add(finishing.pop())
                self._give_back(job)
        self.waited = set(self._buffer)

    def stop(self) -> None:
        """Give all back at once: no child gets a message any more."""
        for job in list(self._buffer):
            self._give_back(job)

    @property
    def _buffer(self) -> Any:
        return getattr(self.pool._pool, "outbound_buffer", ())

    def _give_back(self, job: Any) -> None:
        self._buffer.remove(job)
        job.discard()
        if request := state.requests.get(job.correlation_id):
            log.info("job %s: no child is free for it, its message goes back", request.id)
            state.task_ready(request)
            request.message.reject_log_error(log, Exception, requeue=True)  # else it is lost, as above
