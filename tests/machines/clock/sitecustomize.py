"""Python imports this at its start. With libfaketime 0.9.10, `time.sleep` of Python ≥ 3.11 fails: EINVAL."""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
