"""What the lab's page and its process (runner.py) tell each other: small files in a folder that is open to the
owner only. Not the database, nor the broker: those are what may be away.

The page leaves wishes, each at most once at a time; the process takes them, and tells in `state` how things stand.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from stack.environment import private_file, private_folder


class Busy(Exception):
    """Somebody's wish is still being fulfilled; the text is its name."""


class Board:
    """The files of one lab."""

    def __init__(self, var: Path) -> None:
        self.folder = private_folder(var / "lab")
        self.experiment = self.folder / "experiment"  # while it is there, its experiment is under way
        self.stopping = self.folder / "stop"
        self.doors = self.folder / "customers"
        self.file = self.folder / "state.json"

    def wish(self, name: str) -> None:
        """Have an experiment done. Raises Busy: of two who press at once, one is first. A link, since that is made
        whole or not at all."""
        fresh = private_file(self.folder / f"wish.{os.getpid()}.{time.monotonic_ns()}", name)
        try:
            os.link(fresh, self.experiment)
        except FileExistsError:
            raise Busy(self.wished()) from None
        finally:
            fresh.unlink()

    def wished(self) -> str:
        """The experiment to do, or "" for none."""
        with suppress(FileNotFoundError):
            return self.experiment.read_text()
        return ""

    def done(self) -> None:
        """It is over; the next one may come."""
        self.experiment.unlink(missing_ok=True)

    def stop(self) -> None:
        """Have everything put right now."""
        self.stopping.touch(mode=0o600)

    def stopped(self) -> bool:
        """Whether somebody wants that, since it was last asked."""
        with suppress(FileNotFoundError):
            self.stopping.unlink()
            return True
        return False

    def let_in(self, seconds: float) -> None:
        """Have customers come for so long; 0 sends them away."""
        private_file(self.doors, str(time.time() + seconds))

    def open_until(self) -> float:
        """Until when customers come, as Unix time; 0 if none do."""
        with suppress(FileNotFoundError, ValueError):
            until = float(self.doors.read_text())
            return until if until > time.time() else 0.0
        return 0.0

    def tell(self, state: dict[str, Any]) -> None:
        """How things stand, whole or not at all."""
        private_file(self.file, json.dumps(state))

    def told(self) -> dict[str, Any]:
        """What was told last; empty if nothing was yet."""
        with suppress(FileNotFoundError):
            return json.loads(self.file.read_text())
        return {}
