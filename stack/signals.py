"""Ctrl-C, SIGTERM and a closed terminal all mean: stop everything in order. Once."""

import os
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def install() -> None:
    """From now on the first of these signals raises KeyboardInterrupt, and later ones only reassure."""
    for number in STOPPING:
        signal.signal(number, _interrupt)


def only_reassure() -> None:
    """From now on these signals interrupt nothing: a stop in order is under way and must come to its end."""
    for number in STOPPING:
        signal.signal(number, _reassure)


def _interrupt(number: int, frame: FrameType | None) -> None:
    only_reassure()
    raise KeyboardInterrupt


def _reassure(number: int, frame: FrameType | None) -> None:
    # os.write, since this may interrupt a print, and print can't be entered twice.
    os.write(2, b"\nStill stopping: running jobs are being finished so that nothing is lost. Please wait.\n")
