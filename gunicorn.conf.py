"""What gunicorn reads of itself in its working folder. Its options stand in the commands: stack/processes.py."""

from typing import Any

from stack import leash


def post_fork(server: Any, worker: Any) -> None:
    """Children of a main process that was killed would finish what they have begun, up to 25 seconds long, and keep the
    port meanwhile: nobody could take its place. So they die with it; whom they have not answered asks again."""
    leash.tie("KILL")
