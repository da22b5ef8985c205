"""Runs a command that dies with its parent: `python -I die_with_parent.py INT postgres -D …`.

A parent killed with SIGKILL can't stop its children. The kernel then sends them the signal named here.
Limits: this works on Linux only, and not if the parent dies in the few milliseconds before `prctl`.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    name, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.Signals[f"SIG{name}"].value)
    os.execvp(command[0], command)  # noqa: S606 - the command comes from this package
