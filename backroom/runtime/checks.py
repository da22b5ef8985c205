"""System checks: a setting that would break a promise is an error at boot, with the way out."""

from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from backroom.conf import conf
from backroom.runtime import slots
from backroom.runtime.task import LedgerTask

SHORTEST_GRACE = 6  # seconds: a worker requeues its jobs 3 s before the end


@register()
def check_backroom(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The settings on which the ledger's promises rest."""
    ledger = current_app.task_cls == "backroom.runtime.task:LedgerTask"
    errors = [*_project(ledger), *_celery(), *_tasks(), *(_schedule() if ledger else ()), *_surroundings()]
    # A plain Celery app lacks what LedgerCelery sets, and a broker whose settings it did not read: one error says both.
    return [error for error in errors if ledger or error.id not in ("backroom.E003", "backroom.W001")]


def _project(ledger: bool) -> Iterator[CheckMessage]:
    """Every task is a job, its row goes to PostgreSQL, and beat has its tables."""
    if not ledger:
        yield Error("the Celery app is not a LedgerCelery: its tasks would run without a row in the ledger",
                    hint="make it with backroom.runtime.app.LedgerCelery and import it in the project's __init__.py",
                    id="backroom.E001")  # fmt: skip
    engine = str(settings.DATABASES["default"]["ENGINE"])
    if "postgres" not in engine and "postgis" not in engine:
        yield Error(f"the ledger needs PostgreSQL, and the default database is {engine}",
                    hint='set DATABASES["default"] to a PostgreSQL database', id="backroom.E006")  # fmt: skip
    scheduler = str(current_app.conf.beat_scheduler)
    if scheduler.startswith("backroom.") and not apps.is_installed("django_celery_beat"):
        yield Error("beat has no tables for its schedules",
                    hint='add "django_celery_beat" to INSTALLED_APPS, and migrate', id="backroom.E008")  # fmt: skip


def _celery() -> Iterator[CheckMessage]:
    """Jobs run in workers, and no message is dropped."""
    if current_app.conf.task_always_eager:
        yield Error("task_always_eager runs jobs in the request, before the commit",
                    hint="remove CELERY_TASK_ALWAYS_EAGER", id="backroom.E002")  # fmt: skip
    if not current_app.conf.task_acks_late:
        yield Error("without task_acks_late a warm shutdown may drop a message",
                    hint="remove CELERY_TASK_ACKS_LATE: LedgerCelery sets it", id="backroom.E003")  # fmt: skip


def _tasks() -> Iterator[CheckMessage]:
    """Every job finds a worker, and its arguments have names."""
    known = set(current_app.amqp.queues)
    _import_tasks()
    for task in current_app.tasks.values():
        if not isinstance(task, LedgerTask) or task.name.startswith("celery."):  # Celery's own: chain, chord, ...
            continue
        if task.job_queue and task.job_queue not in known:
            yield Error(f"{task.name} goes to the queue {task.job_queue!r}, which no worker knows",
                        hint=f"queues are {', '.join(sorted(known))} (CELERY_TASK_QUEUES)",
                        id="backroom.E004")  # fmt: skip
        try:
            _ = task.parameters
        except TypeError as error:
            yield Error(str(error), hint="name each parameter", id="backroom.E007")


def _schedule() -> Iterator[CheckMessage]:
    """Every slot of CELERY_BEAT_SCHEDULE becomes a job."""
    for name, entry in current_app.conf.beat_schedule.items():
        try:
            slots.call_of(entry["task"], entry.get("args", ()), entry.get("kwargs", {}), entry.get("options", {}))
        except (TypeError, ValueError) as error:
            yield Error(f"the schedule {name!r} can't be enqueued: {error}",
                        hint="correct CELERY_BEAT_SCHEDULE", id="backroom.E009")  # fmt: skip


def _import_tasks() -> None:
    """Import every task. Not by the loader's import_default_modules: that runs all checks, and this one again."""
    current_app.autodiscover_tasks(force=True)
    for module in current_app.loader.default_modules:
        current_app.loader.import_task_module(module)


def _surroundings() -> Iterator[CheckMessage]:
    """The workers' supervisor, the broker, and the alerts' addressees."""
    if conf.WORKER_GRACE < SHORTEST_GRACE:
        yield Error(f"WORKER_GRACE={conf.WORKER_GRACE} leaves a stopping worker no time for its jobs",
                    hint="set BACKROOM_WORKER_GRACE to the seconds from SIGTERM to SIGKILL that the supervisor grants,"
                    " 30 or more; 70 lets every job finish", id="backroom.E005")  # fmt: skip
    if not (current_app.conf.broker_url or "").startswith(("redis://", "rediss://")):
        yield Warning("breakers and rate limits of partners are off: they need Redis or Valkey as the broker",
                      hint="use one; without it each job calls its partner as its Retry allows",
                      id="backroom.W001")  # fmt: skip
