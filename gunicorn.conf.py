"""What gunicorn reads by itself in its working folder, and again at each HUP. Its options stand in the commands.

Its main process must load none of our packages: what it has loaded, a HUP does not renew, and `shop` brings Celery,
which puts the folder of that moment before all others. So the form of the log is loaded by its file.
"""

import ctypes
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1

logger_class = runpy.run_path(str(Path(__file__).resolve().parent / "shop" / "logs.py"))["GunicornLogger"]


def post_fork(server: Any, worker: Any) -> None:
    """Children of a main process that was killed would finish what they have begun, up to 25 seconds long, and keep the
    port meanwhile: nobody could take its place. So they die with it; whom they have not answered asks again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
