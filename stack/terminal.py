"""What the person at the terminal reads: one line for each step, coloured only on a terminal."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator

GREEN, RED, BOLD, DIM = "32", "31", "1", "2"


def paint(text: str, code: str) -> str:
    """The text in colour, or as it is where the output is no terminal or NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{code}m{text}\033[0m"


def say(text: str = "") -> None:
    """One line, at once."""
    print(text, flush=True)


@contextlib.contextmanager
def step(name: str, done: str = "ready", since: float | None = None) -> Iterator[None]:
    """A line that tells how long the block took, or how long ago `since` was, or that it failed."""
    started = since or time.monotonic()
    # The name first, so that whoever waits sees what for; the rest of the line follows.
    print(f"  {name:<24}", end="", flush=True)
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted")
        raise
    except BaseException:
        say(paint("failed", RED))
        raise
    say(f"{paint(f'{done:<8}', GREEN)} {paint(f'{time.monotonic() - started:5.1f} s', DIM)}")
