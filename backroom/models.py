"""The tables of the app `backroom`."""

from backroom.ledger.models import Attempt, Job, Pause, Process, Worker
from backroom.observe.models import Progress

__all__ = ["Attempt", "Job", "Progress", "Pause", "Process", "Worker"]
