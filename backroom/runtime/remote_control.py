"""Celery's remote control: it reaches a worker from each client that has the broker's password."""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.control import Panel

from backroom.conf import conf

log = logging.getLogger(__name__)

# For Flower's pages, and for `celery inspect`.
LOOKS = {
    "ping", "stats", "active", "active_queues", "registered", "reserved", "scheduled", "revoked", "query_task", "conf",
    "clock", "enable_events", "heartbeat",
}  # fmt: skip


def limit() -> None:
    """Refuse the commands that change a worker, such as shutdown and revoke. Call this before the worker starts."""
    if not conf.REMOTE_CONTROL:
        Panel.data = {name: obey if name in LOOKS else _refuse(name) for name, obey in Panel.data.items()}


def _refuse(name: str) -> Callable[..., dict[str, str]]:
    def refuse(state: Any, **_: Any) -> dict[str, str]:
        log.warning("remote control: %s is refused", name)
        return {"error": f"{name} is refused: BACKROOM_REMOTE_CONTROL is off"}

    return refuse
