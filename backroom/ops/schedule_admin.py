"""Schedules in Django's admin: what the ledger can't enqueue is refused, and each change is in the audit log."""

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_celery_beat import admin as theirs
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from backroom.ops import audit_log, schedules
from backroom.runtime import slots
from backroom.runtime.app import CELERYS
from backroom.runtime.duplicates import Duplicate

# Celery's options that a job does not have, with what to do instead, as the form says below each.
UNUSED = {
    "priority": "Jobs have no priority: choose a queue.",
    "exchange": "The queue alone decides which worker runs a job.",
    "routing_key": "The queue alone decides which worker runs a job.",
}


class EntryForm(theirs.PeriodicTaskForm):
    """Refuses an entry whose slots could not be enqueued."""

    class Meta(theirs.PeriodicTaskForm.Meta):
        help_texts = UNUSED | {
            "expire_seconds": "A job that has not begun this many seconds later is cancelled.",
            "headers": f'{{"{slots.DEADLINE}": 3600}}: a slot is skipped if it is over an hour late. '
            f'{{"{slots.DEADLINE}": null}}: it runs however late. Neither: as BACKROOM_SLOT_DEADLINE says. '
            f'{{"{slots.RULE}": "{slots.EACH}"}}: each missed slot becomes a job, the newest {slots.MOST} at most. '
            f'"{slots.SKIP}": none does. "{slots.ONCE}", or nothing: the newest does.',
        }

    def _clean_json(self, field: str) -> str:
        try:
            return super()._clean_json(field)
        except RecursionError:
            raise ValidationError("It is nested too deep.") from None

    def clean(self) -> dict[str, Any]:
        """Each error once. django-celery-beat's own `clean` repeats that of a missing task."""
        forms.ModelForm.clean(self)
        data = self.cleaned_data
        data["task"] = task = data.get("regtask") or data.get("task")
        if not task or (task.startswith(CELERYS) and task != self.initial.get("task")):
            self.add_error("task", "Choose a task of the project.")
        for name in UNUSED:
            if data.get(name) not in (None, ""):
                self.add_error(name, "Leave it empty: a job has no such option.")
        now, ends = timezone.now(), data.get("expires")
        if ends and "expires" in self.changed_data and ends <= max(now, data.get("start_time") or now):
            self.add_error("expires", "The schedule would never run: enter a time to come, after its start.")
        if not self.errors:
            if data.get("enabled"):
                for kind in slots.KINDS:
                    _refuse_if_never(data.get(kind))
            try:
                slots.call(SimpleNamespace(**data))
                slots.check_names(json.loads(data["headers"] or "{}"))
            except slots.UNFIT as error:
                raise ValidationError(f"This schedule can't be enqueued: {error}.") from error
        return data


class TimeForm(forms.ModelForm):
    """Refuses a time that never occurs: 31 February."""

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and not self.errors:
            try:
                _refuse_if_never(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


def _refuse_if_never(time: Model | None) -> None:
    if time and (why := schedules.why_never(time)):
        raise ValidationError(f"The schedule would never run: {why}")


class Audited(admin.ModelAdmin):
    """Each change is in the audit log, in one transaction with it."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        with transaction.atomic():  # its actions; Django has one for its other views
            return super().changelist_view(request, extra_context)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self.note(request, "added", [obj])
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self.note(request, "changed", [obj])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        self.note(request, "deleted", queryset)
        return super().log_deletions(request, queryset)

    def note(self, request: HttpRequest, verb: str, objects: Iterable[Model]) -> None:
        for each in objects:
            audit_log.note(verb, f"{each._meta.verbose_name} {each}", request.user.get_username())


class EntryAdmin(Audited, theirs.PeriodicTaskAdmin):
    """django-celery-beat's, whose actions need the right to change."""

    form = EntryForm

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found and request.method == "POST":
            # Race: beat fires it between this read and the save, which would take `last_run_at` back.
            found.refresh_from_db(from_queryset=PeriodicTask.objects.select_for_update())
        return found

    @admin.action(description="Enable selected tasks", permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: Any) -> None:
        self.switch(request, queryset, {False: True})

    @admin.action(description="Disable selected tasks", permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: Any) -> None:
        self.switch(request, queryset, {True: False})

    @admin.action(description="Toggle activity of selected tasks", permissions=["change"])
    def toggle_tasks(self, request: HttpRequest, queryset: Any) -> None:
        self.switch(request, queryset, {True: False, False: True})

    def switch(self, request: HttpRequest, queryset: Any, to: dict[bool, bool]) -> None:
        """Enable or disable each."""
        for entry in PeriodicTask.objects.select_for_update().filter(pk__in=queryset, enabled__in=to):
            if not slots.switch(entry, to[entry.enabled]):
                self.message_user(request, f"{entry.name}: its only time is over", messages.WARNING)
                continue
            verb = "enabled" if entry.enabled else "disabled"
            self.note(request, verb, [entry])
            self.message_user(request, f"{entry.name} is {verb}.")

    @admin.action(description="Run selected tasks", permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: Any) -> None:
        for entry in queryset:
            try:
                job, new = audit_log.run(entry.name, slots.call(entry), request.user.get_username(), "")
                said = f"{entry.name} runs as job {job}." if new else f"{entry.name}: job {job} has its key already."
                self.message_user(request, said, messages.SUCCESS if new else messages.WARNING)
            except (*slots.UNFIT, Duplicate) as error:
                self.message_user(request, f"{entry.name} can't run: {error}", messages.ERROR)


class TimeAdmin(Audited):
    """A crontab, interval or the like."""

    form = TimeForm

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        *found, protected = super().get_deleted_objects(objs, request)
        return *found, [*protected, *schedules.users(objs)]


for model, base in {
    PeriodicTask: EntryAdmin,
    CrontabSchedule: theirs.CrontabScheduleAdmin,
    IntervalSchedule: theirs.IntervalScheduleAdmin,
    SolarSchedule: theirs.SolarScheduleAdmin,
    ClockedSchedule: theirs.ClockedScheduleAdmin,
}.items():
    admin.site.unregister(model)
    admin.site.register(model, base if model is PeriodicTask else type(base.__name__, (TimeAdmin, base), {}))
