"""The demo's processes as the lab needs them: each with failpoints and the lab's settings, the naive shop's beside them
on standby, a second beat, and the lab's own (runner.py). stack/demo.py calls this by name."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lab.faults import failpoints
from lab.faults.naive import processes as naive
from stack import processes
from stack.processes import Process
from stack.servers import DIE_WITH_PARENT

SETTINGS = "lab.settings"
LEDGERED = ("web", *(f"worker-{queue}" for queue in processes.QUEUES), "dispatcher", "beat", "watcher")
NAIVE = tuple(f"naive-{name}" for name in LEDGERED if name not in naive.LEDGERED)
SECOND = {"beat": "beat-2", "naive-beat": "naive-beat-2"}


def processes_of(env: Mapping[str, str], settings: str, shop: list[Process]) -> list[Process]:
    """These processes with failpoints and other settings."""
    told = failpoints.environment(Path(env["BACKROOM_VAR"]) / "failpoints", {})
    told["DJANGO_SETTINGS_MODULE"] = settings
    words = ["env", *(f"{name}={value}" for name, value in told.items())]
    launcher = len(DIE_WITH_PARENT) + 1  # and the signal: die_with_parent.py comes first
    return [replace(one, command=[*one.command[:launcher], *words, *one.command[launcher:]]) for one in shop]


def demo(env: Mapping[str, str]) -> list[Process]:
    """All of them, those on standby too."""
    usual = processes_of(env, SETTINGS, processes.shop(env))
    spare = [replace(one, name=f"naive-{one.name}", standby=True) for one in naive.shop(env)]
    spare = processes_of(env, naive.SETTINGS, [one for one in spare if one.name in NAIVE])
    seconds = [replace(one, name=SECOND[one.name], standby=True) for one in (*usual, *spare) if one.name in SECOND]
    # Stopped first of all, so that nothing is frozen or broken while the others stop.
    lab = Process("lab", [*DIE_WITH_PARENT, "TERM", sys.executable, "manage.py", "lab"], stage=7, grace=30)
    return [*usual, *spare, *seconds, *processes_of(env, SETTINGS, [lab])]
