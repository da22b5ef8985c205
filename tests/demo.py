"""A whole `make demo`, as a person has it: started for real on free ports, in a folder of its own."""

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from stack import environment, ports
from stack.supervisor import CHECKOUT
from tests.waiting import until

UP = "Ctrl-C stops everything."
_numbers = itertools.count()


class Demo:
    """A `python -m stack demo` in a session of its own, as a terminal would give it."""

    def __init__(self, var: Path, numbers: dict[str, int]):
        self.var, self.numbers = var, numbers
        self.output = var.parent / f"{next(_numbers)}.out"
        # The tests' own servers are in the environment, and a demo would take them for the user's.
        theirs = {name: value for name, value in os.environ.items() if name not in environment.OVERRIDES}
        self.environ = theirs | {name: str(port) for name, port in numbers.items()} | {"BACKROOM_VAR": str(var)}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack", "demo"],
                cwd=CHECKOUT,
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_until_up(self) -> "Demo":
        until(lambda: UP in self.text or self.process.poll() is not None, seconds=200, what="the demo is up")
        assert UP in self.text, self.text
        return self

    def order_number(self) -> int:
        return int(re.search(r"order (\d+) placed", self.text).group(1))

    def ctrl_c(self) -> int:
        """What a terminal does: SIGINT to the whole foreground group. Returns the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(100)

    def processes(self, words: str = "") -> list[int]:
        """The ids of the processes that belong to this demo's folder and have `words` in their command line."""
        return [pid for pid, told in _told_by_processes() if str(self.var) in told and words in told]

    def ports_in_use(self) -> list[str]:
        return [name for name, port in self.numbers.items() if not _is_free(name, port)]


def _is_free(name: str, port: int) -> bool:
    try:
        ports.check_free({name: port})
    except ports.PortError:
        return False
    return True


def _told_by_processes() -> list[tuple[int, str]]:
    """Every process with its command line and its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes() + b" " + (folder / "environ").read_bytes()
        except OSError:  # it ended a moment ago, or it is another user's
            continue
        found.append((int(folder.name), told.replace(b"\0", b" ").decode(errors="replace")))
    return found
