"""An import's states, each changed by compare-and-set.

    uploaded ──► reading ──► checked ──► applying ──► applied ──► undoing ──► undone

A file that is no table is refused. One that is cancelled keeps what is applied, which can be undone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any

from django.core.files.storage import default_storage
from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Now

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


def later(found: Import) -> QuerySet[Import]:
    """The imports behind this ended one whose rows stand. They are to be undone first. The limit: of two that are
    applied at once, the one that ends last counts as the later one, for all rows."""
    wrote = Exists(ImportRow.objects.filter(of=OuterRef("pk"), done=True))
    stand = Q(state__in=[State.APPLYING, State.APPLIED, State.UNDOING]) | Q(Q(state=State.CANCELLED) & wrote)
    behind = Q(ended_at=None) | Q(ended_at__gt=found.ended_at)
    return Import.objects.filter(stand, behind).exclude(pk=found.pk).order_by("-ended_at", "-pk")


@contextmanager
def stored(name: str) -> Iterator[IO[bytes]]:
    """A file of the storage, from its beginning."""
    with default_storage.open(name, "rb") as file:
        yield file.file  # type: ignore[misc]


def purge() -> int:
    """Delete the files and staged rows of old imports; returns the number of these. What they did stays on their pages.
    One that was not applied is cancelled. Race: an apply or an undo begins now. It has locked the import, which is then
    not purged, or it finds the import cancelled, or without a file."""
    old = Import.objects.filter(created_at__lt=Now() - KEPT)
    old = old.exclude(state__in=[State.READING, State.APPLYING, State.UNDOING])
    waits = Q(state__in=[State.UPLOADED, State.CHECKED])
    cancelled = Case(When(waits, then=Value(State.CANCELLED)), default=F("state"))
    for id, file in list(old.exclude(file="").values_list("pk", "file")):
        if old.filter(pk=id, file=file).update(file="", state=cancelled, ended_at=Coalesce("ended_at", Now())):
            default_storage.delete(file)  # a crash before it leaves an orphan
    staged = list(old.filter(Exists(ImportRow.objects.filter(of=OuterRef("pk"))), file="").values_list("pk", flat=True))
    for id in staged:
        rows = ImportRow.objects.filter(of=id)
        for line in range(0, (rows.aggregate(last=Max("line"))["last"] or 0) + 1, SLICE):
            rows.filter(line__range=(line, line + SLICE - 1)).delete()
    return len(staged)
