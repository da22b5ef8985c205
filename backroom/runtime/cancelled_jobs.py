"""The running jobs of this worker that a person has cancelled, and whose bodies did not end within their grace."""

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from signal import SIGCONT, SIGKILL, SIGSTOP

from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool

from backroom.ledger import rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.runtime import subprocesses

log = logging.getLogger(__name__)


def end(pool: BasePool, worker: str, ids: Iterable[str], children: Mapping[str, int | None]) -> None:
    """Kill the children that run these jobs, and cancel the jobs. In other pools than prefork nothing can be killed.
    Raises django.db.Error. `children` are the pids of all jobs in this worker; None: not known yet.

    Race: the body ends now, and its child runs another job. So the child is frozen before the ledger says whether it
    still runs this one.
    """
    if not isinstance(pool, TaskPool):
        return
    for id in ids:
        if (pid := children.get(id)) is None:
            continue  # its child has just ended, or began it a moment ago
        with suppress(ProcessLookupError):
            os.kill(pid, SIGSTOP)
        try:
            for job in rescue.running_on(worker):
                if job.id == id:
                    pool.terminate_job(pid, SIGKILL)
                    subprocesses.end(id)
                    with suppress(Superseded):
                        transitions.mark_dead(job, "")
                        log.warning("job %s was cancelled, and its process killed", id)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGCONT)
