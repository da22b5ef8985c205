"""The file of an export: made by a job, named by its row once it is whole, deleted a day later.

An attempt that dies changes no row. It leaves at most a file that no row names, which the next night's clean-up deletes
once it is a day old. The limits: the next attempt begins anew, and has 50 s for tables.MOST rows.
"""

import uuid
from tempfile import TemporaryFile

from django.core.files import File
from django.core.files.storage import default_storage
from django.db.models.functions import Now

from backroom import Call, enqueue_all, progress
from backroom.runtime.lane import Lane
from catalog import cells
from catalog.media.temporary import folder
from orders.exports import links
from orders.exports.tables import table
from orders.follow_ups import PATIENT
from orders.models import Export

FOLDER = "exports"
MAKE, MAIL = "orders.make_export", "orders.mail_export"
ALONE = Lane("limit:staff-exports", 1)  # the other processes of `bulk` go on with its short jobs


def start(export: Export) -> None:
    """Save a new one with its jobs, in the caller's transaction."""
    export.save()
    arguments, (file, mail) = {"export": export.pk}, keys(export)
    make = Call(MAKE, arguments, "bulk", PATIENT.attempts, file, lane=ALONE)
    enqueue_all(make.then(Call(MAIL, arguments, "default", PATIENT.attempts, mail)))


def keys(export: Export) -> list[str]:
    """Of its jobs: the file's, and the mail's."""
    return [f"staff-export:{export.pk}", f"staff-export-link:{export.pk}"]


def make(id: int) -> None:
    """Write the file; a second call does nothing, nor one for a person who may no longer have it. Raises Permanent for
    more rows than the format holds."""
    export = Export.objects.select_related("user").filter(pk=id, made_at=None).first()
    if export is None or not links.allowed(export):
        return
    its, before = table(export), export.created_at
    with TemporaryFile(dir=folder()) as file:
        rows = progress(its.read(export, before), its.found(export, before).count())
        count = cells.write(file, export.form, its.columns, rows)
        name = default_storage.save(f"{FOLDER}/{uuid.uuid4().hex}.{export.form}", File(file))
    # Race: another attempt, whose worker was taken for dead, was faster.
    if not Export.objects.filter(pk=id, made_at=None).update(file=name, rows=count, made_at=Now()):
        default_storage.delete(name)


def purge() -> int:
    """Delete the files that no link opens any more; returns how many. The file goes before its name, so a crash in
    between leaves no orphan."""
    old = list(Export.objects.filter(made_at__lt=Now() - links.LASTS).exclude(file=""))
    for export in old:
        default_storage.delete(export.file)
        Export.objects.filter(pk=export.pk).update(file="")
    return len(old)
