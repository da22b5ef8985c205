"""Failpoints: a process of the shop, stopped on purpose at a boundary, from outside.

The shop's code knows nothing of them. A process started with `environment(folder)` imports
start/sitecustomize.py, which wraps the functions of points.py (import_hook.py). Whoever holds the same folder arms
a point by name, waits until one process has hit it and stands still there, and then kills, freezes or releases it:

    points = Failpoints(folder)
    hit = points.arm("after authorize", "web").wait()
    os.kill(hit.pid, signal.SIGKILL)

A process is called as its supervisor calls it: SUPERVISOR_PROCESS_NAME.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START = Path(__file__).parent / "start"


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The environment with which a process has failpoints; `folder` is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = [str(START), str(Path(__file__).parents[3]), *filter(None, [env.get("PYTHONPATH", "")])]
    return {**env, "PYTHONPATH": os.pathsep.join(path), "BACKROOM_FAILPOINTS": str(folder)}


class NotHit(Exception):
    """Nobody came by in time."""


@dataclass(frozen=True)
class Hit:
    """A process that stands at a point. `told` shows what the function was given and returned."""

    pid: int
    process: str
    told: str
    file: Path

    def release(self) -> None:
        """Let it go on, if it still can."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Armed:
    """A point that waits for a process."""

    file: Path

    def disarm(self) -> None:
        """Let everybody pass again."""
        self.file.unlink(missing_ok=True)

    def wait(self, seconds: float = 30) -> Hit:
        """The process that hit it. Raises NotHit, and the point is no longer armed."""
        hit, deadline = self.file.with_suffix(".hit"), time.monotonic() + seconds
        while not hit.exists():
            if time.monotonic() > deadline:
                self.disarm()
                if not hit.exists():
                    raise NotHit(f"nobody came by {self.file.stem} in {seconds:g} s")
            time.sleep(0.01)
        return Hit(**json.loads(hit.read_text()), file=hit)


class Failpoints:
    """The points of one house, from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arm(self, name: str, process: str, words: str = "", then: str = "block") -> Armed:
        """The next one of this process that passes, with `words` in what it deals with, is stopped there. `then` is one
        of inside.ACTIONS."""
        file = self.folder / f"{name}@{process}.armed"
        file.with_suffix(".hit").unlink(missing_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"words": words, "then": then}))
        return Armed(fresh.rename(file))
