"""From an original to published files: a chain of jobs, each of which makes a part and writes it into the row.

The ledger holds the steps, the storage the files, and the row says which files count. A step writes its files, then
names them in the row. A worker that dies between the two leaves orphans, and the next attempt makes the files anew.
Where two workers make a step, the slower one deletes its files. `publish` shows all files in one UPDATE. So the jobs
may run twice, and a reader sees all of a picture or none of it.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models.functions import Now

from backroom import Call, Permanent, Retry, enqueue_all
from backroom.ledger import operations
from catalog.media import storage
from catalog.media.models import Media
from catalog.media.refused import Refused

State = Media.State
RETRY = Retry(attempts=5, first=5)
# Each is the task `catalog.media_<step>` and the job `media-<step>:<id>`; `publish` comes last.
STEPS: dict[str, tuple[str, ...]] = {
    Media.Kind.PICTURE: ("inspect", "scan", "avif", "webp", "jpeg", "publish"),
    Media.Kind.CLIP: ("probe", "scan", "poster", "small", "large", "publish"),
}
DELETE = "catalog.delete_media_files"
STILL_SHOWN = timedelta(hours=1)  # a page that shows the replaced picture loads its files later than the rest


class Made(NamedTuple):
    """What a step has made: files as Media.files lists them, columns of the row, and a note for the job's page."""

    files: list[dict[str, Any]] = []
    columns: dict[str, Any] = {}
    note: str = ""


def begin(media: Media) -> None:
    """Enqueue the steps of an original, in the transaction that inserts its row. A second call does nothing."""
    first, *others = [
        Call(f"catalog.media_{step}", {"media": media.pk}, "media", RETRY.attempts, key)
        for step, key in zip(STEPS[media.kind], keys(media), strict=True)
    ]
    enqueue_all(first.then(*others))


def keys(media: Media) -> list[str]:
    """Of its jobs, in their order."""
    return [f"media-{step}:{media.pk}" for step in STEPS[media.kind]]


def run(id: int, step: str, make: Callable[..., Made], *arguments: Any) -> str:
    """One step: call make(media, *arguments), and write what it made. Nothing if the step is done, or the row is
    refused, cancelled or deleted. Returns a note for the job's page. Raises what `make` raises, but for Refused: that
    is the row's end, and its file's."""
    media = Media.objects.filter(pk=id, state=State.WAITING).first()
    if media is None or step in media.made:
        return "nothing to do"
    try:
        made = make(media, *arguments)
    except Refused as refusal:
        _end(id, State.REFUSED, reason=str(refusal))
        return f"refused: {refusal}"
    if not _record(id, step, made):
        storage.delete(file["name"] for file in made.files)
        return "too late"
    return made.note


def _record(id: int, step: str, made: Made) -> bool:
    """Name the files in the row. Race: it was cancelled or deleted meanwhile; or this worker was taken for dead, and
    another has made the step. False then."""
    with transaction.atomic():
        media = _waiting(id)
        if media is None or step in media.made:
            return False
        Media.objects.filter(pk=id).update(made=media.made | {step: {"files": made.files}}, **made.columns)
        return True


def _waiting(id: int) -> Media | None:
    return Media.objects.select_for_update().filter(pk=id, state=State.WAITING).first()


def publish(id: int) -> str:
    """Show all that the steps made, in place of the one that it replaces. Raises Permanent if a step is missing."""
    with transaction.atomic():
        # Lock order: the shown one before its replacement, as `remove` and a second replacement lock them.
        replaced = Media.objects.filter(pk=id).values("replaces")
        old = Media.objects.select_for_update().filter(pk__in=replaced).first()
        media = _waiting(id)
        if media is None:
            return "nothing to do"
        steps = STEPS[media.kind][:-1]
        if missing := [step for step in steps if step not in media.made]:
            raise Permanent(f"not made yet: {', '.join(missing)}. Replay these jobs first")
        files = [file for step in steps for file in media.made[step]["files"]]
        Media.objects.filter(pk=id).update(state=State.PUBLISHED, files=files, published_at=Now(), replaces=None)
        if old:
            remove(old.pk, STILL_SHOWN)
        return f"{len(files)} files"


def cancel(id: int) -> bool:
    """Cancel one that is being made, with its jobs, also a running one. False if it is published, or ended before."""
    with transaction.atomic():
        media = _end(id, State.CANCELLED)
        if media:
            _cancel_jobs(media)
        return media is not None


def remove(id: int, later: timedelta = timedelta()) -> None:
    """Delete the row, its jobs and, a time later, its files."""
    with transaction.atomic():
        if media := Media.objects.select_for_update().filter(pk=id).first():
            _cancel_jobs(media)
            media.delete()
            _delete_files(storage.names_of(media), later)


def _end(id: int, state: State, reason: str = "") -> Media | None:
    """End one that is being made, which needs its files no more. None if it was not waiting."""
    with transaction.atomic():
        if media := _waiting(id):
            Media.objects.filter(pk=id).update(state=state, reason=reason, original="", made={})
            _delete_files(storage.names_of(media))
        return media


def _cancel_jobs(media: Media) -> None:
    operations.cancel(keys=keys(media), dead=True, running=True, why="its picture or clip was cancelled or deleted")


def _delete_files(names: Iterable[str], later: timedelta = timedelta()) -> None:
    """Once the transaction that names them no more is committed. Race: a step of a job that still runs writes another
    one now: `run` deletes it."""
    if found := sorted(names):
        enqueue_all(Call(DELETE, {"names": found}, "bulk", RETRY.attempts, run_after=later or None))
