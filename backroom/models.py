"""The tables of the app `backroom`, where Django looks for them."""

from backroom.ledger.models import Attempt, Batch, Heartbeat, Job, Pause, Unique
from backroom.observe.models import ForeignMessage, Progress

__all__ = ["Attempt", "Batch", "ForeignMessage", "Heartbeat", "Job", "Pause", "Progress", "Unique"]
