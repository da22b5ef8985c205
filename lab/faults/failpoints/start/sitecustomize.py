"""Python imports this at its start where PYTHONPATH names this folder: see lab/faults/failpoints."""

import os

from lab.faults.failpoints import import_hook as inside

if "BACKROOM_FAILPOINTS" in os.environ:
    inside.install(os.environ["BACKROOM_FAILPOINTS"], os.environ.get("SUPERVISOR_PROCESS_NAME", ""))
