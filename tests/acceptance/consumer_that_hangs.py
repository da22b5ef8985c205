"""For `celery worker --include`: the main thread hangs at a message of one unknown task, while the thread of the
heartbeat and the children go on."""

import time
from typing import Any

from celery import signals

from backroom.runtime import pulse

pulse.STUCK = 4.0  # seconds, of 30


@signals.task_unknown.connect
def hang(name: str, **_: Any) -> None:
    while name == "of.another.release":
        time.sleep(1)
