"""What staff do to an import. Each writes rows and jobs in one transaction, and returns at once: False if the import is
past that."""

import uuid
from typing import Any

from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Max, Min
from django.db.models.functions import Now

from backroom import batch, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import Job
from backroom.runtime.task import LedgerTask
from catalog.imports import tasks
from catalog.imports.models import Import
from catalog.imports.states import CHUNK, State, change, later
from catalog.media.storage import reached


def upload(file: UploadedFile, user: int | None) -> Import:
    """Store a file under a name of ours, and have a job look into it. Raises Away if the storage does not answer. Race:
    the process dies in between. Then no row names the file, and the sweep of orphans deletes it."""
    with reached():
        stored = default_storage.save(f"imports/{uuid.uuid4().hex}", file)
    with transaction.atomic():
        made = Import.objects.create(file=stored, name=(file.name or "")[:200], user_id=user, began_at=Now())
        tasks.open_import.enqueue(made.pk)
    return made


def reopen(id: int, encoding: str, separator: str) -> bool:
    """Look into the file again, with this encoding and separator."""
    asked = {"asked": {"encoding": encoding, "separator": separator}}
    with transaction.atomic():
        done = bool(Import.objects.filter(pk=id, state=State.UPLOADED).update(options=asked))
        if done:
            tasks.open_import.enqueue(id)
        return done


def read(id: int, columns: dict[str, int], options: dict[str, Any]) -> bool:
    """Begin the dry run."""
    with transaction.atomic():
        done = change(id, State.READING, State.UPLOADED, columns=columns, options=options)
        if done:
            enqueue_all(tasks.stage_import.call(id).then(tasks.check_import.call(id)))
        return done


def again(id: int, user: int | None) -> Import | None:
    """Another import of the same file, for other columns. None if this one is past that."""
    with transaction.atomic():
        old = Import.objects.select_for_update().filter(pk=id, state=State.CHECKED).exclude(file="").first()
        if old is None:
            return None
        Import.objects.filter(pk=id).update(state=State.CANCELLED, file="", ended_at=Now())
        return Import.objects.create(
            file=old.file, name=old.name, user_id=user, options=old.options, columns=old.columns, began_at=Now()
        )


def apply(id: int) -> bool:
    """Begin to write the products."""
    with transaction.atomic():
        done = change(id, State.APPLYING, State.CHECKED)
        if done:
            _in_chunks(id, tasks.apply_import, tasks.end_import)
        return done


def undo(id: int) -> bool:
    """Begin to take back what is applied. False, too, while a later import stands, and once the rows are purged: the
    import has no file then. Race: a later one begins after this look. undo_chunk leaves what that one wrote."""
    before = State.APPLIED, State.CANCELLED
    with transaction.atomic():
        ended = Import.objects.select_for_update(no_key=True).filter(pk=id, state__in=before)
        found = ended.exclude(file="").first()
        done = found is not None and not later(found).exists() and change(id, State.UNDOING, *before)
        if done:
            _in_chunks(id, tasks.undo_import, tasks.end_undo)
        return done


def _in_chunks(id: int, task: LedgerTask, then: LedgerTask) -> None:
    """A batch of small jobs. Its callback runs once all have succeeded: the ledger counts rows, so a job that is
    repeated counts once."""
    lines = Import.objects.filter(pk=id).aggregate(first=Min("rows__line"), last=Max("rows__line"))
    begins = range(lines["first"], lines["last"] + 1, CHUNK) if lines["last"] else ()
    batch((task.call(id, line) for line in begins), then=then.call(id))


def cancel(id: int) -> bool:
    """Applied rows stay. Race: a chunk runs now. It has locked the import's row, so this waits for its commit."""
    before = State.UPLOADED, State.READING, State.CHECKED, State.APPLYING
    with transaction.atomic():
        done = change(id, State.CANCELLED, *before, ended_at=Now())
        if done:
            batches = Job.objects.filter(key=f"import-end:{id}").values_list("id", flat=True)
            why = "the import is cancelled"
            operations.cancel(keys=[f"import-stage:{id}"], batches=list(map(str, batches)), dead=True, why=why)
        return done
