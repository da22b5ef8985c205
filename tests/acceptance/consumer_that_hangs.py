"""For `celery worker --include`: at a message of one unknown task the main thread hangs, while the thread of the
heartbeat and the children go on. At one of another task it runs out of memory, which Celery calls unrecoverable."""

import time
from typing import Any, NoReturn

from celery import signals
from kombu.asynchronous import get_event_loop

from backroom.runtime import pulse

pulse.STUCK = 4.0  # seconds, of 30


@signals.task_unknown.connect
def hang(name: str, **_: Any) -> None:
    while name == "of.another.release":
        time.sleep(1)
    if name == "breaks":
        get_event_loop().call_soon(break_off)


def break_off() -> NoReturn:
    raise MemoryError
