"""What a slot of the schedule enqueues, and how late. It reads a PeriodicTask's fields and imports nothing of
django-celery-beat, which a project may lack."""

import json
from typing import Any

from celery import current_app

from backroom.conf import conf
from backroom.runtime.enqueue import Call
from backroom.runtime.task import LedgerTask

DEADLINE = "slot_deadline"  # the name in an entry's headers
SHORTEST, LONGEST = 60, 315_360_000  # seconds: in which a new beat starts, and ten years
UNFIT = (TypeError, ValueError, RecursionError)  # an entry that the ledger can't enqueue
OPTIONS = ("queue", "exchange", "routing_key", "expire_seconds", "priority")


def deadline(headers: Any) -> float | None:
    """The seconds for which a slot may be late, by the entry's headers or else BACKROOM_SLOT_DEADLINE. None: no limit.
    Raises ValueError."""
    if not isinstance(headers, dict):
        raise ValueError("headers is a JSON object")
    seconds = headers.get(DEADLINE, conf.SLOT_DEADLINE)
    if seconds is not None and (type(seconds) not in (int, float) or not SHORTEST <= seconds <= LONGEST):
        raise ValueError(f"{DEADLINE} is null or a number of seconds, {SHORTEST} or more, ten years at most")
    return seconds


def call(entry: Any) -> Call:
    """What this PeriodicTask enqueues. Raises TypeError or ValueError if the ledger can't."""
    if entry.task not in current_app.tasks:
        current_app.loader.import_default_modules()  # a web process has imported only the tasks that it calls
    options = {name: getattr(entry, name) for name in OPTIONS} | {"headers": _json(entry, "headers", dict)}
    return call_of(entry.task, _json(entry, "args", list), _json(entry, "kwargs", dict), options)


def _json(entry: Any, name: str, kind: type) -> Any:
    try:
        value = json.loads(getattr(entry, name) or "null")
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, kind | None):
        raise ValueError(f"{name} is not a JSON {'array' if kind is list else 'object'}")
    return value or kind()


def call_of(task: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    """What an entry with these fields enqueues, of a task that is imported. Raises TypeError or ValueError if the
    ledger can't."""
    known = current_app.tasks.get(task)
    if not isinstance(known, LedgerTask):
        raise ValueError(f"there is no task {task!r}")
    deadline(options.get("headers") or {})
    found = known.from_celery(tuple(args), dict(kwargs), options)
    found.check()
    return found
