"""The half of the failpoints that runs inside a process: an import hook wraps each function that has a point.

Only the standard library: sitecustomize imports this before any other module.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.faults.failpoints.points import LEDGERED, NAIVE, Point

POLL = 0.02  # seconds


def install(folder: str, process: str) -> None:
    """Wrap the functions with points in all modules imported from now on."""
    naive = "naive" in os.environ.get("DJANGO_SETTINGS_MODULE", "")  # of both shops without a ledger
    modules: dict[str, dict[str, Point]] = defaultdict(dict)
    for name, point in (NAIVE if naive else LEDGERED).items():
        modules[point.function.partition(":")[0]][name] = point
    sys.meta_path.insert(0, _Finder(modules, Failpoints(Path(folder), process)))


class Failpoints:
    """The points of one process. An armed point is a file `<name>@<process>.armed`. The thread that renames it hits the
    point, so exactly one thread of one process does."""

    def __init__(self, folder: Path, process: str) -> None:
        self.folder, self.process = folder, process

    def wrap(self, function: Callable, name: str, point: Point) -> Callable:
        """The function with the point before or after it."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not point.after:
                self.reach(name, point, (args, kwargs))
            result = function(*args, **kwargs)
            if point.after:
                self.reach(name, point, (args, kwargs, result))
            return result

        return wrapped

    def reach(self, name: str, point: Point, call: Any) -> None:
        """Return at once, unless the point is armed for this call."""
        armed = self.folder / f"{name}@{self.process}.armed"
        try:
            order = json.loads(armed.read_text())
            if not all(match in repr(call) for match in (point.match, order["match"])):
                return
            taken = armed.with_suffix(f".{os.getpid()}")
            armed.rename(taken)
            # In a new file: another thread may still be reading the one that was renamed.
            call_file = armed.with_suffix(f".{os.getpid()}.call")
            call_file.write_text(json.dumps({"pid": os.getpid(), "process": self.process, "call": repr(call)}))
            hit = call_file.rename(armed.with_suffix(".hit"))
            taken.unlink()
        except FileNotFoundError:  # not armed, hit by another thread, or cleared meanwhile
            return
        ACTIONS[order["action"]](hit)


def block(hit: Path) -> None:
    """Wait until the file is deleted from outside, or until SIGKILL."""
    while hit.exists():
        time.sleep(POLL)


def leave(hit: Path) -> None:
    """End the process as a job does that calls os._exit."""
    os._exit(1)


def run_out_of_memory(hit: Path) -> None:
    """End the process as the kernel's OOM killer does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(hit: Path) -> None:
    """Fail as if the answer was lost."""
    raise ConnectionError("failpoint: the answer was lost")


ACTIONS = {"block": block, "exit": leave, "out of memory": run_out_of_memory, "fail": fail}


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, modules: dict[str, dict[str, Point]], failpoints: Failpoints) -> None:
        self.modules, self.failpoints = modules, failpoints

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name not in self.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec and spec.origin:
            spec.loader = _Loader(name, spec.origin, self)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, finder: _Finder) -> None:
        super().__init__(name, path)
        self.finder = finder

    def exec_module(self, module: ModuleType) -> None:
        """Raises AttributeError if a point's function is missing, so that no rename switches it off unnoticed."""
        super().exec_module(module)
        for name, point in self.finder.modules[module.__name__].items():
            *holders, attribute = point.function.partition(":")[2].split(".")
            holder = functools.reduce(getattr, holders, module)
            setattr(holder, attribute, self.finder.failpoints.wrap(getattr(holder, attribute), name, point))
