"""The processes of a shop without a ledger: the shop's own, with another Celery app and other settings."""

from collections.abc import Mapping
from dataclasses import replace

from lab.faults import CHECKLIST, NAIVE
from stack import processes
from stack.processes import Process

SETTINGS = {NAIVE: "lab.faults.naive.settings", CHECKLIST: "lab.faults.naive.checklist"}
WITHOUT = ("dispatcher", "watcher")  # they work on the ledger only


def shop(env: Mapping[str, str]) -> list[Process]:
    """The processes, in the order in which they start."""
    return [_naive(process, env["BACKROOM_VAR"]) for process in processes.shop(env) if process.name not in WITHOUT]


def _naive(process: Process, var: str) -> Process:
    command = list(process.command)
    if process.name == "beat":
        command.append(f"--schedule={var}/celerybeat-schedule")  # Celery's default is the working folder
    if "-A" in command:
        command[command.index("-A") + 1] = "lab.faults.naive"
    return replace(process, command=command)
