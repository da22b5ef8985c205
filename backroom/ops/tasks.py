"""The purge of the tables of backroom.ops, for beat's schedule."""

from backroom.ops import alerts, rollups
from backroom.runtime.task import task


@task(queue="bulk", name="backroom.purge_history")
def purge_history() -> None:
    """Delete minutes that no chart shows any more, and alerts that recovered long ago."""
    rollups.purge()
    alerts.purge()
