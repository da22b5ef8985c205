"""The demo's processes with the lab: failpoints and the lab's settings in each, and the lab's own process (runner.py).

The shops without a ledger and second beats are on standby. stack/demo.py imports this module by name.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lab.faults import CHECKLIST, LEDGERED, NAIVE, failpoints
from lab.faults.naive import processes as naive
from stack import processes
from stack.environment import keeping
from stack.processes import Process
from stack.servers import DIE_WITH_PARENT

SETTINGS = {
    LEDGERED: "lab.settings",
    NAIVE: "lab.naive_settings",
    CHECKLIST: "lab.naive_checklist_settings",
}
OURS = ("web", *(f"worker-{queue}" for queue in processes.QUEUES), "dispatcher", "beat", "watcher")
USUAL = {LEDGERED: OURS} | {  # a shop's processes
    shop: tuple(f"{shop}-{name}" for name in OURS if name not in naive.WITHOUT) for shop in naive.SETTINGS
}
SECOND = {beat: f"{beat}-2" for beat in ("beat", *(f"{shop}-beat" for shop in naive.SETTINGS))}


def with_failpoints(env: Mapping[str, str], settings: str, shop: list[Process]) -> list[Process]:
    """These processes with failpoints and another settings module."""
    added = failpoints.environment(Path(env["BACKROOM_VAR"]) / "failpoints", {"DJANGO_SETTINGS_MODULE": settings})
    command = ["env", *(f"{name}={value}" for name, value in added.items())]
    launcher = len(DIE_WITH_PARENT) + 1  # die_with_parent.py and its signal come first
    return [replace(one, command=[*one.command[:launcher], *command, *one.command[launcher:]]) for one in shop]


def demo(env: Mapping[str, str]) -> list[Process]:
    """All processes, also those on standby."""
    usual = with_failpoints(env, SETTINGS[LEDGERED], processes.shop(env))
    spare: list[Process] = []
    for shop in naive.SETTINGS:
        own = [replace(one, name=f"{shop}-{one.name}", standby=True) for one in naive.shop(env)]
        spare += with_failpoints(env, SETTINGS[shop], [one for one in own if one.name in USUAL[shop]])
    seconds = [replace(one, name=SECOND[one.name], standby=True) for one in (*usual, *spare) if one.name in SECOND]
    # It stops first, so that nothing is frozen or faulty while the others stop.
    command = [*DIE_WITH_PARENT, "TERM", *keeping(*processes.SECRETS), sys.executable, "manage.py", "lab"]
    lab = Process("lab", command, stage=7, grace=30)
    return [*usual, *spare, *seconds, *with_failpoints(env, SETTINGS[LEDGERED], [lab])]
