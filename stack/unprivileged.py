"""Drops root for PostgreSQL, which refuses to run as root, without making a system account."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from stack import Problem

OVERFLOW_UID = 65534  # the kernel's overflow user, which owns nothing
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# Without user namespaces (Docker's default) the server runs as 65534. It keeps one capability of root, to pass
# through private folders above its own, such as /root.
SETPRIV = ("setpriv", f"--reuid={OVERFLOW_UID}", f"--regid={OVERFLOW_UID}", "--clear-groups")
PASS = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")


@cache
def prefix() -> tuple[str, ...]:
    """The command prefix that drops root, empty for other users. Raises Problem."""
    if os.geteuid() != 0:
        return ()
    for way in (NAMESPACE, SETPRIV + PASS, SETPRIV):
        if shutil.which(way[0]) and subprocess.run([*way, "true"], capture_output=True).returncode == 0:
            return way
    raise Problem("PostgreSQL can't run as root here (no unshare, no setpriv): run this as another user")


def own(folder: Path) -> None:
    """Give the folder to the account of `prefix`, because PostgreSQL must own its data."""
    if prefix()[:1] == ("setpriv",):
        os.chown(folder, OVERFLOW_UID, OVERFLOW_UID)
