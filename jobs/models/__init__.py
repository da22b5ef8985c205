"""The tables of this room."""

from jobs.models.job import LIVE, Attempt, Job, Journal, State
from jobs.models.minutes import QueueMinute, TaskMinute, TaskTotal
from jobs.models.signs import Process, Worker
from jobs.models.staff import Action, Alert, Pause

__all__ = [
    "LIVE", "Action", "Alert", "Attempt", "Job", "Journal", "Pause", "Process", "QueueMinute", "State", "TaskMinute",
    "TaskTotal", "Worker",
]  # fmt: skip
