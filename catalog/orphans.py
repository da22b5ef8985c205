"""Files that no row names. A file is written before the row that names it, so a crash in between leaves one."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.core.files.storage import Storage, default_storage
from django.utils import timezone

YOUNG = timedelta(days=1)  # never less: the row of a file may be on its way


def found(store: Storage, folder: str, named: Callable[[], set[str]], age: timedelta = YOUNG) -> Iterator[str]:
    """The files of a folder that are older than this, and that no row names. Race: a job names a file now. The file is
    too young, or it was listed before the rows are read."""
    with suppress(FileNotFoundError):  # the folder was never made, or another sweep was faster
        listed = [f"{folder}/{name}" for name in store.listdir(folder)[1]]
        before = timezone.now() - age
        for name in sorted(set(listed) - named()):
            if store.get_modified_time(name) < before:
                yield name


def delete_private(folder: str, table: Any) -> int:
    """Delete those of a private folder, some hundred files, which a table names in its column `file`; returns how
    many."""
    orphans = list(found(default_storage, folder, lambda: set(table.objects.values_list("file", flat=True))))
    for name in orphans:
        default_storage.delete(name)
    return len(orphans)
