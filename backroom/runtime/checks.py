"""System checks: a setting that would break a promise is an error at boot, with what to do about it."""

from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from backroom.runtime.worker import GOODBYE


@register()
def check_celery(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The settings that the ledger's promises rest on."""
    return [*_ledger(), *_queues(), *_surroundings()]


def _ledger() -> list[CheckMessage]:
    """Every task is a job, and no message is dropped."""
    found: list[CheckMessage] = []
    if current_app.task_cls != "backroom.runtime.task:LedgerTask":
        found.append(
            Error("the Celery app is not a LedgerCelery: its tasks would run without a row in the ledger",
                  hint="make it with jobs.app.LedgerCelery and import it in the project's __init__.py", id="backroom.E001")
        )  # fmt: skip
    if current_app.conf.task_always_eager:
        found.append(
            Error("task_always_eager runs jobs in the request, before the commit",
                  hint="remove CELERY_TASK_ALWAYS_EAGER", id="backroom.E002")
        )  # fmt: skip
    if not current_app.conf.task_acks_late:
        found.append(
            Error("without task_acks_late a warm shutdown may drop a message", hint="set CELERY_TASK_ACKS_LATE = True",
                  id="backroom.E003")
        )  # fmt: skip
    return found


def _queues() -> list[CheckMessage]:
    """Every job finds a worker."""
    found: list[CheckMessage] = []
    known = set(current_app.amqp.queues)
    for task in current_app.tasks.values():
        queue = getattr(task, "job_queue", None)
        if queue and queue not in known:
            found.append(
                Error(f"{task.name} goes to the queue {queue!r}, which no worker knows",
                      hint=f"queues are {', '.join(sorted(known))} (CELERY_TASK_QUEUES)", id="backroom.E004")
            )  # fmt: skip
    return found


def _surroundings() -> list[CheckMessage]:
    """What is around the workers: who stops them, the broker, and who is called."""
    found: list[CheckMessage] = []
    if settings.WORKER_GRACE < 2 * GOODBYE:
        found.append(
            Error(f"WORKER_GRACE={settings.WORKER_GRACE} leaves a stopping worker no time for its jobs",
                  hint="grant the seconds from SIGTERM to SIGKILL that the supervisor grants, 30 or more; 70 lets every"
                  " job finish", id="backroom.E005")
        )  # fmt: skip
    if not current_app.conf.broker_url.startswith(("redis://", "rediss://")):
        found.append(
            Warning("breakers and rates of partners are off: they are kept in Redis or Valkey",
                    hint="use one as the broker; without, each job asks its partner as its Retry says", id="backroom.W001")
        )  # fmt: skip
    if not settings.ALERT_MAIL_TO:
        found.append(
            Warning("nobody is mailed when something is wrong", hint="set ALERT_MAIL_TO to the addresses of whoever is"
                    " on call, with commas", id="backroom.W002")
        )  # fmt: skip
    return found
