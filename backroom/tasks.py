"""The library's own task, where Celery looks for it, to put on beat's schedule; and the backend of Django's tasks."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils.module_loading import import_string

from backroom.conf import conf
from backroom.ledger import operations
from backroom.observe.models import ForeignMessage
from backroom.observe.progress import report
from backroom.runtime import names
from backroom.runtime.task import task

BATCH = 5_000


def __getattr__(name: str) -> Any:
    """`Backend` for settings.TASKS, made at its first use: not every project has Django's tasks."""
    if name == "Backend":
        return import_string("backroom.runtime.django_tasks.Backend")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@task(queue="bulk", name="backroom.purge")
def purge() -> int:
    """Delete finished jobs and foreign messages after BACKROOM_RETENTION_DAYS; dead letters stay."""
    ForeignMessage.objects.filter(at__lt=Now() - timedelta(days=conf.RETENTION_DAYS)).delete()
    deleted, last = 0, BATCH
    while last == BATCH:
        last = operations.purge(conf.RETENTION_DAYS, BATCH)
        deleted += last
        report(deleted)
    while names.purge_names(BATCH) == BATCH:
        pass
    return deleted
