"""Schedules in code, as rows of django-celery-beat: `from backroom import schedules`. Beat reads a change within five
seconds of its commit. People's changes, on /ops/ and in the admin, are in the audit log; these are not."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone
from django_celery_beat.clockedschedule import clocked
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from backroom.runtime import slots, storable
from backroom.runtime.call import Call, check_calls
from backroom.runtime.enqueue import enqueue_all


def make(name: str, call: Call, when: Any, missed: str = slots.ONCE) -> None:
    """From now on enqueue this call at each slot of `when`: a crontab, a timedelta of whole seconds, Celery's `solar`,
    or once at an aware datetime. A schedule of this name is changed; if its time is, its slots count from now.
    `missed` says what becomes of missed slots, one of slots.RULES. For an empty `slot_time` each slot's job gets its
    own. Raises ValueError or TypeError for a call that a schedule can't hold, and for a name of CELERY_BEAT_SCHEDULE,
    which beat restores at each start."""
    storable.check_name("a schedule's name", name)
    check_calls(f"{name!r}: what a schedule enqueues", [call])
    if name in current_app.conf.beat_schedule:
        raise ValueError(f"{name!r} stands in CELERY_BEAT_SCHEDULE: change it there")
    if isinstance(when, datetime):
        storable.check_time(f"{name!r}: the time", when)
    if isinstance(when, timedelta) and (when.microseconds or not 1 <= when.total_seconds() <= slots.LONGEST):
        raise ValueError(f"{name!r}: every {when} is no number of whole seconds, from one to those of ten years")
    with transaction.atomic():
        time, kind = ModelEntry.to_model_schedule(clocked(when) if isinstance(when, datetime) else when)
        fields = dict.fromkeys(slots.KINDS) | {
            kind: time,
            "task": call.task,
            "args": "[]",
            "kwargs": json.dumps(call.args),
            "queue": call.queue,
            "headers": json.dumps({slots.RULE: missed}),
            "one_off": kind == "clocked",
        }
        if slots.call(PeriodicTask(**fields)) != call:
            raise ValueError(f"{name!r}: a schedule holds a task, its arguments and its queue, and no other option")
        fields["kwargs"] = json.dumps({name: value for name, value in call.args.items() if value or name != slots.SLOT})
        found = PeriodicTask.objects.select_for_update().filter(name=name).first()
        if found is None or getattr(found, kind) != time:
            fields["last_run_at"] = timezone.now()
            if kind == "clocked":  # beat disabled it after the time before
                fields["enabled"] = True
        PeriodicTask.objects.update_or_create(name=name, defaults=fields)


def pause(name: str) -> bool:
    """Let no slot become a job until `resume`. False if it is paused already; raises PeriodicTask.DoesNotExist."""
    return _switch(name, False)


def resume(name: str) -> bool:
    """Go on with the next slot: those of the pause don't count as missed. False if it is not paused, or
    its only time is over; raises PeriodicTask.DoesNotExist."""
    return _switch(name, True)


def _switch(name: str, on: bool) -> bool:
    with transaction.atomic():
        return slots.switch(PeriodicTask.objects.select_for_update().get(name=name), on)


def remove(name: str) -> bool:
    """Delete a schedule. Jobs that it enqueued stay. False if there is none."""
    with transaction.atomic():
        return any(entry.delete() or True for entry in PeriodicTask.objects.select_for_update().filter(name=name))


def run_now(name: str) -> str:
    """Enqueue a job besides the slots, in the caller's transaction; returns its id, or that of the job that has its
    key or name. Raises PeriodicTask.DoesNotExist, and Duplicate."""
    call = slots.call(PeriodicTask.objects.get(name=name))
    return enqueue_all(replace(call, shed=False))[0]
