"""The tables of the app `backroom`, where Django looks for them."""

from backroom.ledger.models import Attempt, Heartbeat, Job, Pause
from backroom.observe.models import ForeignMessage, Progress

__all__ = ["Attempt", "ForeignMessage", "Heartbeat", "Job", "Pause", "Progress"]
