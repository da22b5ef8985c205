"""gunicorn reads this file from its working folder, at its start and at each HUP. The commands hold its options.

The main process must import none of our packages, because a HUP does not reload them. `shop` also imports Celery,
which puts the current release's folder first in sys.path. So this file runs our modules by their paths.
"""

import ctypes
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1

SHOP = Path(__file__).resolve().parent / "shop"
logger_class = runpy.run_path(str(SHOP / "logs.py"))["GunicornLogger"]
forwarder_headers = ""  # a client on this machine, or behind a proxy on it, would choose SCRIPT_NAME, and get a 500
worker_class = runpy.run_path(str(SHOP / "web_worker.py"))["Worker"]


def post_fork(server: Any, worker: Any) -> None:
    """Make a worker die with a killed main process. Its clients retry.

    Otherwise it would finish its requests, and hold the port against a new main process for up to 25 seconds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
