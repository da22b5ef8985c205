"""An import's states, each changed by compare-and-set.

    uploaded ──► reading ──► checked ──► applying ──► applied ──► undoing ──► undone

A file that is no table is refused. One that is cancelled keeps what is applied, which can be undone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any

from django.core.files.storage import default_storage
from django.db.models import Exists, Max, OuterRef
from django.db.models.functions import Now

from catalog.imports.models import Import, ImportRow

State = Import.State
CHUNK = 500  # lines of one job
KEPT = timedelta(days=30)  # a file and its staged rows; until then it can be undone
SLICE = 10_000  # rows of one DELETE


def change(id: int, state: State, *before: State, **fields: Any) -> bool:
    return bool(Import.objects.filter(pk=id, state__in=before).update(state=state, began_at=Now(), **fields))


def refuse(id: int, reason: str) -> bool:
    return change(id, State.REFUSED, State.UPLOADED, State.READING, reason=reason[:300], ended_at=Now())


def locked(id: int, state: State) -> Import | None:
    """The import, if it is in this state. A cancel then waits for the end of the transaction."""
    return Import.objects.select_for_update(no_key=True).filter(pk=id, state=state).first()


@contextmanager
def stored(name: str) -> Iterator[IO[bytes]]:
    """A file of the storage, from its beginning."""
    with default_storage.open(name, "rb") as file:
        yield file.file  # type: ignore[misc]


def purge() -> int:
    """Delete the files and staged rows of old imports; returns of how many. What they did stays on their pages. Race:
    an undo begins now. It has locked the import, which is then not purged, or finds it without a file."""
    old = Import.objects.filter(created_at__lt=Now() - KEPT)
    old = old.exclude(state__in=[State.READING, State.APPLYING, State.UNDOING])
    for id, file in list(old.exclude(file="").values_list("pk", "file")):
        if old.filter(pk=id, file=file).update(file=""):
            default_storage.delete(file)  # a crash before it leaves an orphan
    staged = list(old.filter(Exists(ImportRow.objects.filter(of=OuterRef("pk"))), file="").values_list("pk", flat=True))
    for id in staged:
        rows = ImportRow.objects.filter(of=id)
        for line in range(0, (rows.aggregate(last=Max("line"))["last"] or 0) + 1, SLICE):
            rows.filter(line__range=(line, line + SLICE - 1)).delete()
    return len(staged)
