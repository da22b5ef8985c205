"""A whole `make demo` on free ports, in a folder of its own."""

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
    """A `python -m stack demo` in its own session, as in a terminal."""

    def __init__(self, var: Path, numbers: dict[str, int]):
        self.var, self.numbers = var, numbers
        self.output = var.parent / f"{next(_numbers)}.out"
        # Without the addresses of the tests' own servers, which a demo would use as the user's.
        environ = {name: value for name, value in os.environ.items() if name not in environment.OVERRIDES}
        own = {"BACKROOM_VAR": str(var), "SHIPS_AFTER": "", "DELIVERS_AFTER": ""}  # tests count an order's own effects
        self.environ = environ | {name: str(port) for name, port in numbers.items()} | own
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
        """SIGINT to the whole foreground group, as a terminal sends it. Returns the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(100)

    def processes(self, text: str = "") -> list[int]:
        """The ids of processes with this demo's folder and `text` in their command line or environment."""
        return [pid for pid, found in _processes() if str(self.var) in found and text in found]

    def ports_in_use(self) -> list[str]:
        return [name for name, port in self.numbers.items() if not _is_free(name, port)]


def _is_free(name: str, port: int) -> bool:
    try:
        ports.check_free({name: port})
    except ports.PortError:
        return False
    return True


def _processes() -> list[tuple[int, str]]:
    """Every process with its command line and environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes() + b" " + (folder / "environ").read_bytes()
        except OSError:  # it has just ended, or it is another user's
            continue
        found.append((int(folder.name), text.replace(b"\0", b" ").decode(errors="replace")))
    return found
