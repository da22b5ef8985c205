"""Small files between the lab's page and its process (runner.py), in a folder that only their owner can read.

Files, as experiments break the database and the broker. The page writes requests, the process writes the state.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from stack.environment import private_file, private_folder


class Busy(Exception):
    """Another request is in progress. The text is its name."""


class StateFiles:
    """The files of one lab."""

    def __init__(self, var: Path) -> None:
        self.folder = private_folder(var / "lab")
        self.request = self.folder / "request"  # exists while its experiment runs
        self.stopping = self.folder / "stop"
        self.load = self.folder / "load"
        self.state = self.folder / "state.json"

    def submit(self, name: str) -> None:
        """Request an experiment. Raises Busy if one is in progress.

        A link is made whole or not at all, so of two requests at the same time one wins.
        """
        fresh = private_file(self.folder / f"request.{os.getpid()}.{time.monotonic_ns()}", name)
        try:
            os.link(fresh, self.request)
        except FileExistsError:
            raise Busy(self.requested()) from None
        finally:
            fresh.unlink()

    def requested(self) -> str:
        """The name of the experiment in progress; "" for none."""
        with suppress(FileNotFoundError):
            return self.request.read_text()
        return ""

    def finish(self) -> None:
        """Let the next request in."""
        self.request.unlink(missing_ok=True)

    def request_stop(self) -> None:
        """Request that everything returns to normal now."""
        self.stopping.touch(mode=0o600)

    def take_stop(self) -> bool:
        """Whether a stop was requested since the last call."""
        with suppress(FileNotFoundError):
            self.stopping.unlink()
            return True
        return False

    def set_load(self, seconds: float) -> None:
        """Request customers for `seconds`; 0 ends them."""
        private_file(self.load, str(time.time() + seconds))

    def load_until(self) -> float:
        """The end of the load as Unix time; 0 without load."""
        with suppress(FileNotFoundError, ValueError):
            until = float(self.load.read_text())
            return until if until > time.time() else 0.0
        return 0.0

    def write(self, state: dict[str, Any]) -> None:
        private_file(self.state, json.dumps(state))

    def read(self) -> dict[str, Any]:
        """The latest state; empty before the first."""
        with suppress(FileNotFoundError):
            return json.loads(self.state.read_text())
        return {}
