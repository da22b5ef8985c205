"""PostgreSQL refuses to run as root: this finds a way all the same, without making a system account."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from stack import Problem

NOBODY = 65534
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# Without a user namespace (Docker's default) the server becomes nobody. It keeps one right of root's, to pass
# through private folders above its own, such as a checkout under /root.
SETPRIV = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
PASS = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")


class NotPossible(Problem):
    """No way to run a server here; its text is one line."""


@cache
def prefix() -> tuple[str, ...]:
    """What to put before a command so that root does not run it; empty for others. Raises NotPossible."""
    if os.geteuid() != 0:
        return ()
    for way in (NAMESPACE, SETPRIV + PASS, SETPRIV):
        if shutil.which(way[0]) and subprocess.run([*way, "true"], capture_output=True).returncode == 0:
            return way
    raise NotPossible("PostgreSQL does not run as root here (no unshare, no setpriv): run this as another user")


def own(folder: Path) -> None:
    """Gives the folder to the account that `prefix` runs as: PostgreSQL insists on owning its data."""
    if prefix()[:1] == ("setpriv",):
        os.chown(folder, NOBODY, NOBODY)
