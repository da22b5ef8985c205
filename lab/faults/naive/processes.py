"""The naive shop's processes: those of the shop, on another Celery app and settings module."""

from collections.abc import Mapping
from dataclasses import replace

from stack import processes
from stack.processes import Process

SETTINGS = "lab.faults.naive.settings"
LEDGERED = ("dispatcher", "watcher")  # who has nothing to do without a ledger


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for each process; gunicorn's `shop.wsgi` obeys it too."""
    return {**env, "DJANGO_SETTINGS_MODULE": SETTINGS}


def shop(env: Mapping[str, str]) -> list[Process]:
    """The processes in the order in which they start."""
    return [_naively(process, env["BACKROOM_VAR"]) for process in processes.shop(env) if process.name not in LEDGERED]


def commands(env: Mapping[str, str]) -> dict[str, list[str]]:
    """The command line of each process, by name; run them in the checkout with `environment(env)`."""
    return {process.name: process.command for process in shop(env)}


def _naively(process: Process, var: str) -> Process:
    command = list(process.command)
    if process.name == "beat":
        command.append(f"--schedule={var}/celerybeat-schedule")  # Celery's default is a file where it was started
    if "-A" in command:
        command[command.index("-A") + 1] = "lab.faults.naive"
    return replace(process, command=command)
