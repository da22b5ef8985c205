"""Private files that no row names. A file is written before the row that names it, so a crash in between leaves one."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.core.files.storage import default_storage
from django.utils import timezone

from backroom import resumable

YOUNG = timedelta(days=1)  # the row of a file may be on its way for this long
SLICE = 500  # files whose rows are read at once


def delete(folder: str, table: Any) -> None:
    """Delete the files of a folder that no row of the table names in its column `file`, as a resumable job."""
    try:
        names = sorted(f"{folder}/{name}" for name in default_storage.listdir(folder)[1])
    except FileNotFoundError:  # nothing was ever stored there
        return

    def slices(after: str | None) -> Iterator[list[str]]:
        left = [name for name in names if after is None or name > after]
        return (left[start : start + SLICE] for start in range(0, len(left), SLICE))

    for part in resumable(slices, cursor=lambda part: part[-1]):
        named = table.objects.filter(file__in=part).values_list("file", flat=True)
        for name in sorted(set(part) - set(named)):
            with suppress(FileNotFoundError):  # another attempt was faster
                if default_storage.get_modified_time(name) < timezone.now() - YOUNG:
                    default_storage.delete(name)
