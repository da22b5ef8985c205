"""The ledger's own chore."""

from django.conf import settings

from jobs import alerts, control, history
from jobs.task import task


@task(queue="bulk", name="jobs.purge")
def purge() -> int:
    """Delete finished jobs after their retention; dead letters stay for a person."""
    history.purge()
    alerts.purge()
    return control.purge(settings.JOBS_RETENTION_DAYS)
