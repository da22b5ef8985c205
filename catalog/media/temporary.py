"""The folder of unfinished files, such as an upload that comes, or a clip that is being encoded. It is on the disk of
the stored files. A killed process leaves its files there, for `sweep`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

from django.conf import settings

AGE = 24 * 3600  # seconds; never less than an upload, or a step, may take


def folder() -> Path:
    """Made if it is missing, for its owner only."""
    place: Path = settings.FILE_UPLOAD_TEMP_DIR
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


@contextmanager
def workplace() -> Iterator[Path]:
    """A new folder in it, deleted after the block."""
    with TemporaryDirectory(dir=folder()) as place:
        yield Path(place)


def sweep() -> int:
    """Delete what killed processes left there a day ago; returns how many."""
    deleted = 0
    for path in folder().iterdir():
        with suppress(FileNotFoundError):  # its process has just deleted it
            if path.stat().st_mtime < time() - AGE:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                deleted += 1
    return deleted
