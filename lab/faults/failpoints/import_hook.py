"""The inner half, loaded into a real process at its start: the functions of the points are wrapped when their module is
imported. Only the standard library, as nothing else is there yet."""

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

POLL = 0.02  # seconds between looks whether we may go on


def install(folder: str, process: str) -> None:
    """From now on, modules that hold a point are imported with it."""
    naive = os.environ.get("DJANGO_SETTINGS_MODULE", "").startswith("lab.faults.naive")
    modules: dict[str, dict[str, Point]] = defaultdict(dict)
    for name, point in (NAIVE if naive else LEDGERED).items():
        modules[point.function.partition(":")[0]][name] = point
    sys.meta_path.insert(0, _Finder(modules, Failpoints(Path(folder), process)))


class Failpoints:
    """The points of one process. One that is armed is a file `<name>@<process>.armed`; whoever renames it has hit it,
    so exactly one thread of one process does, and all others pass."""

    def __init__(self, folder: Path, process: str) -> None:
        self.folder, self.process = folder, process

    def wrap(self, function: Callable, name: str, point: Point) -> Callable:
        """The function with a point before or after it."""

        @functools.wraps(function)
        def passing(*args: Any, **kwargs: Any) -> Any:
            if not point.after:
                self.pass_by(name, point, (args, kwargs))
            result = function(*args, **kwargs)
            if point.after:
                self.pass_by(name, point, (args, kwargs, result))
            return result

        return passing

    def pass_by(self, name: str, point: Point, told: Any) -> None:
        """Go on, unless the point is armed for what we are doing."""
        armed = self.folder / f"{name}@{self.process}.armed"
        try:
            order = json.loads(armed.read_text())
            if not all(words in repr(told) for words in (point.words, order["words"])):
                return
            taken = armed.with_suffix(f".{os.getpid()}")
            armed.rename(taken)
            # Into another file: whoever has this one open, and comes too late, reads on in it.
            told_in = armed.with_suffix(f".{os.getpid()}.told")
            told_in.write_text(json.dumps({"pid": os.getpid(), "process": self.process, "told": repr(told)}))
            hit = told_in.rename(armed.with_suffix(".hit"))
            taken.unlink()
        except FileNotFoundError:  # not armed, hit by another one, or taken away by who puts everything right
            return
        ACTIONS[order["then"]](hit)


def block(hit: Path) -> None:
    """Stand still until somebody outside deletes the file, or kills us."""
    while hit.exists():
        time.sleep(POLL)


def leave(hit: Path) -> None:
    """What a job does to its worker that calls os._exit."""
    os._exit(1)


def run_out_of_memory(hit: Path) -> None:
    """What the kernel does to a process that takes too much."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(hit: Path) -> None:
    """An answer that got lost."""
    raise ConnectionError("failpoint: the answer got lost")


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
        """Raises AttributeError for a point at a function that is not there: a renamed one must not go unseen."""
        super().exec_module(module)
        for name, point in self.finder.modules[module.__name__].items():
            *holders, attribute = point.function.partition(":")[2].split(".")
            holder = functools.reduce(getattr, holders, module)
            setattr(holder, attribute, self.finder.failpoints.wrap(getattr(holder, attribute), name, point))
