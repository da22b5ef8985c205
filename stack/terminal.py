"""Terminal output: one line for each step, in colour on a terminal only."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator

GREEN, RED, BOLD, DIM = "32", "31", "1", "2"


def paint(text: str, code: str) -> str:
    """The text in colour, or plain if stdout is not a terminal or NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{code}m{text}\033[0m"


def say(text: str = "") -> None:
    """Print one line and flush it."""
    print(text, flush=True)


@contextlib.contextmanager
def step(name: str, done: str = "ready", since: float | None = None) -> Iterator[None]:
    """Print a line with the duration of the block, or the time since `since`, or that it failed."""
    started = since or time.monotonic()
    # The name comes first, so it is visible during the wait.
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
