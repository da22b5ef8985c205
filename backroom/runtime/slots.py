"""What a slot of the schedule enqueues, how late, and which slots were missed. It reads a PeriodicTask's fields and
imports nothing of django-celery-beat, which a project may lack."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from celery import current_app, schedules
from django.utils import timezone

from backroom.conf import conf
from backroom.runtime.call import Call
from backroom.runtime.task import LedgerTask

DEADLINE, RULE = "slot_deadline", "missed_slots"  # the names in an entry's headers
NEAR = 0.8  # of 1: the likeness of a mistyped name
ONCE, EACH, SKIP = RULES = "once late", "each late", "skip"
MOST = 100  # missed slots of an entry that become jobs: the newest
KINDS = ("interval", "crontab", "solar", "clocked")  # an entry has one of these
SLOT = "slot_time"  # the parameter that gets its slot's time
SHORTEST, LONGEST = 60, 315_360_000  # seconds: a new beat takes less; ten years
UNFIT = (TypeError, ValueError, RecursionError)  # an entry that the ledger can't enqueue
OPTIONS = ("queue", "exchange", "routing_key", "priority")


def rule(headers: Any) -> str:
    """What becomes of an entry's missed slots, out of RULES. Raises ValueError."""
    if not isinstance(headers, dict):
        raise ValueError("headers is a JSON object")
    if (found := headers.get(RULE, ONCE)) not in RULES:
        raise ValueError(f"{RULE} is one of {', '.join(RULES)}")
    return found


def check_names(headers: Any) -> None:
    """Raises ValueError for a header that is nearly one of these two: it would have no effect. Others are Celery's."""
    for name in headers:
        if name not in (DEADLINE, RULE) and (near := get_close_matches(name, (DEADLINE, RULE), 1, NEAR)):
            raise ValueError(f"headers has {name}: did you mean {near[0]}")


def deadline(headers: Any) -> float | None:
    """The seconds for which a slot may be late, by the entry's headers or else BACKROOM_SLOT_DEADLINE. None: no limit.
    Raises ValueError."""
    seconds = headers.get(DEADLINE, conf.SLOT_DEADLINE) if rule(headers) != SKIP else headers.get(DEADLINE, SHORTEST)
    if seconds is not None and (type(seconds) not in (int, float) or not SHORTEST <= seconds <= LONGEST):
        raise ValueError(f"{DEADLINE} is null or a number of seconds, {SHORTEST} or more, ten years at most")
    return seconds


def passed(schedule: Any, last: datetime, now: datetime, most: int) -> list[datetime]:
    """The newest `most` slots after `last` and until `now`, the oldest first."""
    if hasattr(schedule, "clocked_time"):
        return [schedule.clocked_time]
    last, now = last.astimezone(UTC), now.astimezone(UTC)  # in a zone, Python adds and compares what its clocks show
    if isinstance(schedule, schedules.schedule):
        every = schedule.run_every
        count = (now - last) // every
        return [last + number * every for number in range(max(1, count - most + 1), count + 1)]
    span = timedelta(minutes=most)  # a crontab has one slot a minute at most
    while True:
        start = max(last, now - span)
        found = list(_following(schedule, start, now))
        if len(found) >= most or start == last:
            return found[-most:]
        span *= 2


def _following(schedule: Any, last: datetime, now: datetime) -> Iterator[datetime]:
    # Celery before 5.7 takes `last` for a time of the crontab's zone, and finds one slot an hour if it is not of today.
    zone = schedule.tz if isinstance(schedule, schedules.crontab) else UTC
    schedule = copy.copy(schedule)
    schedule.nowfun = lambda: last.astimezone(zone)
    while (slot := last + schedule.remaining_estimate(last.astimezone(zone))) > last and slot <= now:
        yield slot
        last = slot


def given(task: Any, args: Any, kwargs: dict[str, Any], slot: datetime) -> dict[str, Any]:
    """The arguments by name of an entry of this task, with the slot's time in UTC if the task takes it and the entry
    does not give it."""
    names = task.parameters.parameters if isinstance(task, LedgerTask) else {}
    if SLOT not in names or SLOT in kwargs or SLOT in list(names)[: len(args)]:
        return kwargs
    return kwargs | {SLOT: slot.astimezone(UTC).isoformat(timespec="seconds")}


def call(entry: Any) -> Call:
    """What this PeriodicTask enqueues, for a slot of now. Raises TypeError or ValueError if the ledger can't."""
    if entry.task not in current_app.tasks:
        current_app.loader.import_default_modules()  # a web process has imported only the tasks that it calls
    options = {name: getattr(entry, name) for name in OPTIONS}
    options |= {"headers": _json(entry, "headers", dict), "expires": entry.expire_seconds or None}
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
    found = known.from_celery(tuple(args), given(known, args, dict(kwargs), datetime.now(UTC)), options)
    found.check()
    return found


def over(entry: Any) -> bool:
    """Whether an entry's only time has passed. If it were enabled, beat would fire it at once."""
    return bool(entry.clocked) and entry.clocked.clocked_time <= timezone.now()


def switch(entry: Any, on: bool) -> bool:
    """Enable or disable an entry whose row is locked; False if it is so already, or over and to be enabled.

    Race: a beat that read the entry earlier would fire a slot that another beat has fired. Its compare-and-set finds
    another `last_run_at`, which is never null in an enabled entry.
    """
    if entry.enabled is on or (on and over(entry)):
        return False
    entry.enabled, entry.last_run_at = on, timezone.now()
    entry.save()
    return True
