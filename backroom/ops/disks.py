"""The disks of this machine under the folders in BACKROOM_DISKS."""

import os
from contextlib import suppress

from backroom.conf import conf

SHARE, MOST = 0.05, 2**30  # a disk is full with less of it free, or of bytes on a large one


def full() -> dict[str, str]:
    """For each folder what is free, in words; "" if its disk has room. A folder that is missing is left out."""
    found = {}
    for folder in conf.DISKS:
        with suppress(OSError):
            disk = os.statvfs(folder)
            free, least = disk.f_bavail * disk.f_frsize, min(disk.f_blocks * disk.f_frsize * SHARE, MOST)
            found[folder] = f"{free // 2**20} MB free" if free < least else ""
    return found
