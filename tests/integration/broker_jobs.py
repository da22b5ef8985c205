"""Jobs for a worker on any broker that includes this module. Their effects are sessions."""

import time

from django.contrib.sessions.models import Session
from django.db.models.functions import Now

from backroom import task


@task(name="tests.broker_job", queue="bulk")
def leaves(text: str, seconds: float = 0) -> None:
    time.sleep(seconds)
    Session.objects.create(session_key=f"{text} {time.monotonic_ns()}", session_data=text, expire_date=Now())


def left() -> list[str]:
    """The text of each body that ended, once for each time."""
    return sorted(Session.objects.values_list("session_data", flat=True))
