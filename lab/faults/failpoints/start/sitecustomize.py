"""Python imports this module at its start, because PYTHONPATH contains this folder. See lab/faults/failpoints."""

import os

from lab.faults.failpoints import import_hook

if "BACKROOM_FAILPOINTS" in os.environ:
    import_hook.install(os.environ["BACKROOM_FAILPOINTS"], os.environ.get("SUPERVISOR_PROCESS_NAME", ""))
