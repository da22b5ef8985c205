"""The jobs and processes in this worker, read by another thread than its main one, which changes them meanwhile."""

from celery.concurrency.base import BasePool
from celery.worker import state


def processes(pool: BasePool | None) -> set[int]:
    """The pool's pids. An error must stop neither the heartbeat nor the stop."""
    try:
        return set(pool.info.get("processes", ())) if pool else set()
    except Exception:
        return set()


def running() -> list[str]:
    """The ids of the jobs in this worker."""
    return list(children())


def children() -> dict[str, int | None]:
    """The jobs in this worker, and the pids of their children; None: not known yet."""
    while True:
        try:
            return {request.id: request.worker_pid for request in (*state.reserved_requests, *state.active_requests)}
        except RuntimeError:  # it changed
            continue
