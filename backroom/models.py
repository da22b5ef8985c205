"""The tables of the app `backroom`."""

from backroom.ledger.models import Attempt, Job, Pause, Process, Worker
from backroom.observe.models import Journal

__all__ = ["Attempt", "Job", "Journal", "Pause", "Process", "Worker"]
