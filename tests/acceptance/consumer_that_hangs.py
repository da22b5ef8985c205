"""For `celery worker --include`: at a message of one unknown task the main thread hangs, while the thread of the
heartbeat and the children go on. At one of another task it raises an error that Celery calls unrecoverable."""

import time
from typing import Any

from celery import signals

from backroom.runtime import foreign, pulse

pulse.STUCK = 4.0  # seconds, of 30


@signals.task_unknown.connect
def hang(name: str, **_: Any) -> None:
    while name == "of.another.release":
        time.sleep(1)


is_job = foreign.is_job


def is_job_or_breaks(message: Any) -> bool:
    if message.headers.get("task") == "breaks":
        raise RuntimeError("a defect of ours")
    return is_job(message)


foreign.is_job = is_job_or_breaks
