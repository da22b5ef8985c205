"""Failpoints: stop a process of the shop at a named boundary, from outside.

The shop's code does not import them. A process that starts with `environment(folder)` imports start/sitecustomize.py,
whose import hook wraps the functions of points.py. The lab and the tests use the same folder:

    hit = Failpoints(folder).arm("after authorize", "web").wait()
    os.kill(hit.pid, signal.SIGKILL)

A process has the name that supervisord gives it: SUPERVISOR_PROCESS_NAME.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START = Path(__file__).parent / "start"


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the variables that switch failpoints on in a process. Makes the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = [str(START), str(Path(__file__).parents[3]), *filter(None, [env.get("PYTHONPATH", "")])]
    return {**env, "PYTHONPATH": os.pathsep.join(path), "BACKROOM_FAILPOINTS": str(folder)}


class NotHit(Exception):
    """No process reached the point in time."""


@dataclass(frozen=True)
class Hit:
    """A process that waits at a point. `call` is the repr of the function's arguments, and of its result."""

    pid: int
    process: str
    call: str
    file: Path

    def release(self) -> None:
        """Let the process continue, if it is still alive."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Armed:
    """A point that waits for a process."""

    file: Path

    def wait(self, seconds: float = 30) -> Hit:
        """The process that hit the point. Disarms the point and raises NotHit after `seconds`."""
        hit, deadline = self.file.with_suffix(".hit"), time.monotonic() + seconds
        while not hit.exists():
            if time.monotonic() > deadline:
                self.file.unlink(missing_ok=True)
                if not hit.exists():
                    raise NotHit(f"no process reached {self.file.stem} within {seconds:g} s")
            time.sleep(0.01)
        return Hit(**json.loads(hit.read_text()), file=hit)


class Failpoints:
    """The failpoints of one stack, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arm(self, name: str, process: str, match: str = "", action: str = "block") -> Armed:
        """Stop the next process of this name whose call's repr contains `match`. Actions: import_hook.ACTIONS."""
        file = self.folder / f"{name}@{process}.armed"
        file.with_suffix(".hit").unlink(missing_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"match": match, "action": action}))
        return Armed(fresh.rename(file))

    def clear(self) -> None:
        """Disarm all points and release all processes that wait at one."""
        for file in self.folder.iterdir():
            file.unlink(missing_ok=True)
