"""System checks: a setting that would break a promise is an error at boot, with the way out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from backroom.conf import SETTINGS, conf
from backroom.runtime import broker, slots
from backroom.runtime.app import CELERYS
from backroom.runtime.parameters import NoJob
from backroom.runtime.session_checks import check_sessions
from backroom.runtime.task import LedgerTask

log = logging.getLogger(__name__)

SQS_VISIBILITY = 1800  # seconds, kombu's default
OF_LEDGER_CELERY = {f"backroom.{id}" for id in ("E003", "E010", "E011", "E013", "W001", "W004", "W005", "W012")}


@register()
def check_backroom(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The settings on which the ledger's promises rest."""
    ledger = current_app.task_cls == "backroom.runtime.task:LedgerTask"
    errors = [*_project(ledger), *_celery(), *_tasks(), *_time_limits(), *_surroundings()]
    if ledger:
        errors += _schedule()
    # A plain Celery app lacks what LedgerCelery sets, and a broker whose settings it did not read: one error says both.
    return [error for error in errors if ledger or error.id not in OF_LEDGER_CELERY]


def log_findings(checks: Sequence[Callable] = (check_backroom, check_sessions)) -> None:
    """Write what the checks find to the log of a process that starts: a web process needs `check_sessions` only."""
    for found in [each for check in checks for each in check(None, databases=["default"])]:
        if not found.is_silenced():
            log.log(found.level, "%s", found)


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
    """Jobs run in workers, which end each body in time, and no message is dropped or hidden."""
    celery = current_app.conf
    if celery.task_always_eager:
        yield Error("task_always_eager runs jobs in the request, before the commit",
                    hint="remove CELERY_TASK_ALWAYS_EAGER", id="backroom.E002")  # fmt: skip
    if not celery.task_acks_late:
        yield Error("without task_acks_late a warm shutdown may drop a message",
                    hint="remove CELERY_TASK_ACKS_LATE: LedgerCelery sets it", id="backroom.E003")  # fmt: skip
    if (_is_redis() and not celery.worker_disable_prefetch) or celery.worker_prefetch_multiplier != 1:
        yield Error("a worker that prefetches hides messages, which are then published again as lost",
                    hint="remove CELERY_WORKER_DISABLE_PREFETCH and CELERY_WORKER_PREFETCH_MULTIPLIER: LedgerCelery"
                    " sets them", id="backroom.E011")  # fmt: skip
    if _is_redis() and celery.broker_transport_options.get("ack_emulation", True):
        yield Warning("the broker acknowledges messages: the ledger makes that redundant, and an unacknowledged one"
                      " comes a second time", hint='add "ack_emulation": False to CELERY_BROKER_TRANSPORT_OPTIONS',
                      id="backroom.W004")  # fmt: skip
    if _is_redis() and not celery.broker_transport_options.get("socket_timeout"):
        yield Warning("a worker that stops while the broker hangs waits until it is killed",
                      hint='add "socket_timeout": 3 to CELERY_BROKER_TRANSPORT_OPTIONS',
                      id="backroom.W005")  # fmt: skip


def _tasks() -> Iterator[CheckMessage]:
    """Every job finds a worker, and its arguments have names."""
    known = set(current_app.amqp.queues)
    _import_tasks()
    for task in current_app.tasks.values():
        if task.name.startswith(CELERYS):
            continue
        if not isinstance(task, LedgerTask):
            yield Error(f"{task.name} has no row in the ledger: its base class is Celery's",
                        hint="let its base class inherit from backroom.runtime.task.LedgerTask",
                        id="backroom.E013")  # fmt: skip
            continue
        if task.job_queue and task.job_queue not in known:
            yield Error(f"{task.name} goes to the queue {task.job_queue!r}, which no worker knows",
                        hint=f"queues are {', '.join(sorted(known))} (CELERY_TASK_QUEUES)",
                        id="backroom.E004")  # fmt: skip
        try:
            _ = task.parameters
        except NoJob as error:
            yield Error(str(error), hint=error.hint, id="backroom.E007")


def _time_limits() -> Iterator[CheckMessage]:
    """A body that hangs is ended: softly, then hard. A task has Celery's settings unless it has its own; before Celery
    5.7 only a worker's pool knows these."""
    of_all = current_app.conf.task_soft_time_limit, current_app.conf.task_time_limit
    found = {
        (task.soft_time_limit or of_all[0], task.time_limit or of_all[1]): name
        for name, task in current_app.tasks.items()
    }
    for (soft, hard), name in found.items():
        if not soft or not hard or soft >= hard:
            yield Error(f"{name} has the time limits {soft} and {hard}: a body that hangs would hold its worker, or be"
                        " killed without a word", hint="set CELERY_TASK_SOFT_TIME_LIMIT and, to more seconds,"
                        " CELERY_TASK_TIME_LIMIT", id="backroom.E010")  # fmt: skip


def _schedule() -> Iterator[CheckMessage]:
    """Every slot of CELERY_BEAT_SCHEDULE becomes a job."""
    for name, entry in current_app.conf.beat_schedule.items():
        try:
            options = entry.get("options", {})
            slots.call_of(entry["task"], entry.get("args", ()), entry.get("kwargs", {}), options)
            slots.check_names(options.get("headers") or {})
        except slots.UNFIT as error:
            yield Error(f"the schedule {name!r} can't be enqueued: {error}",
                        hint="correct CELERY_BEAT_SCHEDULE", id="backroom.E009")  # fmt: skip


def _import_tasks() -> None:
    """Import every task. Not by the loader's import_default_modules: that runs all checks, and this one again."""
    current_app.autodiscover_tasks(force=True)
    for module in current_app.loader.default_modules:
        current_app.loader.import_task_module(module)


def _surroundings() -> Iterator[CheckMessage]:
    """The library's own settings, and the broker."""
    for name, needs in conf.wrong():
        yield Error(f"the value of {name} does not fit", hint=f"set it to {needs}", id="backroom.E005")
    for name in conf.unknown():
        yield Warning(f"{name} has no effect", hint=f"settings are {', '.join(SETTINGS)}, each after BACKROOM_",
                      id="backroom.W006")  # fmt: skip
    yield from _beside_redis()


def _beside_redis() -> Iterator[CheckMessage]:
    """What another broker can't do."""
    if _is_redis():
        return
    if not conf.REDIS_URL:
        yield Warning("breakers and rates of partners, and limits on requests and sign-ins, are off: they need Redis or"
                      " Valkey, and the broker is neither", hint="set BACKROOM_REDIS_URL to one",
                      id="backroom.W001")  # fmt: skip
    if conf.QUEUE_DEPTHS:
        yield Warning("no queue refuses tasks with shed=True: that needs Redis or Valkey as the broker",
                      hint="use one, or remove BACKROOM_QUEUE_DEPTHS", id="backroom.W012")  # fmt: skip
    visible = current_app.conf.broker_transport_options.get("visibility_timeout", SQS_VISIBILITY)
    longest = max(task.time_limit or 0 for task in current_app.tasks.values())
    if str(current_app.conf.broker_url).startswith("sqs:") and visible <= longest:
        yield Warning(f"SQS delivers a message again after {visible} s, while its body may still run ({longest} s)",
                      hint='set "visibility_timeout" in CELERY_BROKER_TRANSPORT_OPTIONS, and of the queues, to more',
                      id="backroom.W011")  # fmt: skip


def _is_redis() -> bool:
    return (current_app.conf.broker_url or "").startswith(broker.REDIS)
