"""Turns Ctrl-C, SIGTERM and a closed terminal into one orderly stop."""

import os
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def install() -> None:
    """Make the first of these signals raise KeyboardInterrupt, and ignore the later ones."""
    for number in STOPPING:
        signal.signal(number, _interrupt)


def ignore_repeats() -> None:
    """Answer these signals with a line only, because an orderly stop must not be interrupted."""
    for number in STOPPING:
        signal.signal(number, _explain)


def _interrupt(number: int, frame: FrameType | None) -> None:
    ignore_repeats()
    raise KeyboardInterrupt


def _explain(number: int, frame: FrameType | None) -> None:
    # os.write, because this may interrupt a print, and print is not reentrant.
    os.write(2, b"\nStill stopping: running jobs finish first. Please wait.\n")
