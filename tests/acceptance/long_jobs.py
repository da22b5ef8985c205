"""Long jobs, for a worker that includes this module. Their effects are sessions: rows of any text."""

import subprocess
import time

from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db.models.functions import Now

from backroom import report, resumable, task
from backroom.ledger.errors import Cancelled


def leave(text: str) -> None:
    Session.objects.create(session_key=f"{text} {time.monotonic_ns()}", session_data=text, expire_date=Now())


@task(name="tests.hangs", queue="bulk", atomic=True)
def hangs(seconds: float) -> None:
    leave("hung")
    subprocess.run(["sleep", str(seconds)], check=False)


@task(name="tests.reports", queue="bulk")
def reports() -> None:
    try:
        for number in range(6_000):
            report(number, 6_000)
            time.sleep(0.01)
    except Cancelled:
        leave("cleaned up")
        raise


@task(name="tests.follows", queue="bulk")
def follows() -> None:
    pass


@task(name="tests.thanks_all", queue="bulk")
def thanks_all(pause: float) -> None:
    for group in (rows := resumable(Group.objects.filter(name__startswith="thanked"))):
        with rows.atomic():
            leave(group.name)
        time.sleep(pause)
