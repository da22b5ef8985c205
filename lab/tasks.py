"""The lab's own job, which kills its worker."""

import os

from backroom import Retry, task
from lab.poison import Poison


@task(name="lab.poison", retry=Retry(attempts=2, first=1))
def poison(name: str) -> str:
    """Kill the process that runs it, as a crashing library does, while its switch is armed."""
    switch = Poison(name)
    switch.count_run()
    if switch.armed():
        os._exit(1)
    return "harmless now"
