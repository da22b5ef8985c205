"""The ledger's own chore."""

from django.conf import settings

from backroom.ledger import operations
from backroom.ops import alerts, rollups
from backroom.runtime.task import task


@task(queue="bulk", name="backroom.purge")
def purge() -> int:
    """Delete finished jobs after their retention; dead letters stay for a person."""
    rollups.purge()
    alerts.purge()
    return operations.purge(settings.JOBS_RETENTION_DAYS)
