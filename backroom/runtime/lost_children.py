"""The jobs of dead children. The worker requeues them at once, as it need not wait for SLACK."""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool

from backroom.ledger import rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.runtime import subprocesses

log = logging.getLogger(__name__)


class LostChildren:
    """The ids of jobs whose child has died. The main thread adds them, the heartbeat's thread takes them."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def watch(self, pool: BasePool, wake: Callable[[], None]) -> None:
        """Note the job of each child that dies from now on, then call `wake`. billiard calls its hook once waitpid has
        reported the child, so this never takes a live one for dead. It reports no child that a person terminated."""
        if not isinstance(pool, TaskPool):
            return
        billiard: Any = pool._pool
        report = billiard.on_job_process_lost

        def note(job: Any, pid: int, exitcode: int) -> None:
            report(job, pid, exitcode)  # Celery lists the job no more
            self.ids.append(job.correlation_id)
            wake()

        billiard.on_job_process_lost = note

    def requeue(self, worker: str, running: Callable[[], Collection[str]]) -> None:
        """Requeue them. The attempt counts, and each further one waits a second longer, as in `requeue_abandoned`.
        Raises django.db.Error, and keeps the ids then.

        Race: the job was rescued since, and another child has claimed it. So its token is read first, then which jobs
        run: a job that runs under this token is among these. Or the dead child's finish is on its way: the fence.
        """
        ids = list(self.ids)
        if not ids:
            return
        claimed, alive = rescue.running_on(worker), running()
        for job in claimed:
            if job.id not in ids or job.id in alive:
                continue
            subprocesses.end(job.id)
            with suppress(Superseded):
                if job.attempts < job.max_attempts:
                    transitions.defer(job, job.attempts - 1, "its worker process died")
                else:
                    transitions.mark_dead(job, "its worker process died")
                log.warning("job %s: its child died, which ended attempt %d", job.id, job.attempts)
        del self.ids[: len(ids)]
