"""The library's own task, where Celery looks for it. Put it on beat's schedule."""

from datetime import timedelta

from django.db.models.functions import Now

from backroom.conf import conf
from backroom.ledger import operations
from backroom.observe.models import ForeignMessage
from backroom.observe.progress import report
from backroom.runtime.task import task

BATCH = 5_000


@task(queue="bulk", name="backroom.purge")
def purge() -> int:
    """Delete finished jobs and foreign messages after BACKROOM_RETENTION_DAYS; dead letters stay."""
    ForeignMessage.objects.filter(at__lt=Now() - timedelta(days=conf.RETENTION_DAYS)).delete()
    deleted, last = 0, BATCH
    while last == BATCH:
        last = operations.purge(conf.RETENTION_DAYS, BATCH)
        deleted += last
        report(deleted)
    return deleted
