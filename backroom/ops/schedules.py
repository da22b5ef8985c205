"""The schedules of django-celery-beat, if the project has it: their slots, and why one is not deleted."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db.models import Model, ProtectedError
from django.db.models.signals import pre_delete
from django.utils import timezone

from backroom.runtime import slots

APP = "django_celery_beat"
LONG_AGO, NO_TIME = timedelta(days=10_000), timedelta()


def entries() -> Any:
    """The PeriodicTasks by name, as a query. Raises LookupError in a project without django-celery-beat."""
    return apps.get_model(APP, "PeriodicTask").objects.select_related(*slots.KINDS).order_by("name")


def lines() -> list[dict[str, Any]] | None:
    """Each schedule with its last and its next slot. One that is disabled or has ended has no next slot, one that can't
    be read has an error. None in a project without django-celery-beat."""
    return [_line(entry) for entry in entries()] if apps.is_installed(APP) else None


def _line(entry: Any) -> dict[str, Any]:
    last = entry.last_run_at
    line = {"id": entry.id, "name": entry.name, "task": entry.task, "enabled": entry.enabled, "next": None, "error": ""}
    line["missed"] = _rule(entry)
    line["last"] = last if entry.total_run_count else None  # until then `last_run_at` is the time to count from
    if entry.enabled:
        try:
            line["next"] = _next_slot(entry)
        except Exception as error:  # a row that a script wrote
            line["error"] = str(error)
    return line


def _rule(entry: Any) -> str:
    try:
        return slots.rule(json.loads(entry.headers or "{}"))
    except slots.UNFIT:
        return ""


def _next_slot(entry: Any) -> datetime | None:
    """As beat counts it: from the last slot, or else from the entry's last change; one with a start runs first then."""
    begin, end = entry.start_time, entry.expires
    left = entry.schedule.remaining_estimate(entry.last_run_at or entry.date_changed - (LONG_AGO if begin else NO_TIME))
    found = timezone.now() + left  # read after Celery's clock: the slot of 01:00 is never shown as 00:59
    found = max(found, begin or found)
    return None if end and found >= end else found


def why_never(time: Any) -> str:
    """Why this crontab, interval or the like has no slot to come; "" if it has one."""
    try:
        time.schedule.remaining_estimate(timezone.now())
    except Exception as error:
        return str(error)
    return ""


def users(times: Iterable[Model]) -> list[Any]:
    """The entries that use these crontabs, intervals or the like."""
    return [entry for time in times for entry in time.periodictask_set.all()]  # type: ignore[attr-defined]


def keep_used_times() -> None:
    """From now on a crontab, interval or the like is not deleted while an entry uses it: django-celery-beat would
    delete the entry with it."""
    if apps.is_installed(APP):
        for kind in slots.KINDS:
            pre_delete.connect(_refuse_if_used, apps.get_model(APP, f"{kind}schedule"), dispatch_uid="backroom")


def _refuse_if_used(instance: Model, **_: Any) -> None:
    if found := users([instance]):
        names = ", ".join(entry.name for entry in found)
        raise ProtectedError(f"{instance} is the time of {names}: give that another time first", set(found))
