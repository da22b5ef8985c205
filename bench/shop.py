"""Starts the whole shop as production runs it, under supervisord, and sets up Django on it; prints to stderr only."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import django

from lab.faults.stack import RunningStack
from stack import cluster, ports, processes
from stack.processes import Process


@contextlib.contextmanager
def running(app: str = "shop", **more: str) -> Iterator[tuple[RunningStack, dict[str, int]]]:
    """The shop during the block, with this Celery app and more environment; and the main id of each process."""

    def shop(env: Mapping[str, str]) -> list[Process]:
        return [
            replace(process, command=[app if word == "shop" else word for word in process.command])
            if process.name.startswith("worker-")
            else process
            for process in processes.shop(env)
        ]

    given = {"DEBUG": "false", "LOG_FORMAT": "json", **more}
    with (
        tempfile.TemporaryDirectory(prefix="backroom-bench-") as folder,
        contextlib.redirect_stdout(sys.stderr),
        cluster.running(Path(folder), ports.free(), given, shop) as supervisor,
    ):
        os.environ.update(supervisor.env, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        stack = RunningStack(supervisor, supervisor.env)
        yield stack, {process.name: stack.pid(process.name) for process in supervisor.processes}
