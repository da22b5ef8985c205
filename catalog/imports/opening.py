"""The look into an uploaded file: is it a table, how is it written, and which column is which?"""

import uuid

from django.core.files import File
from django.core.files.storage import default_storage

from catalog.imports import fields, reading, workbook
from catalog.imports.models import Import
from catalog.imports.states import State, refuse, stored


def look(id: int) -> None:
    """Write what the file is into its import, or refuse it; a repeated call does the same again."""
    found = Import.objects.filter(pk=id, state=State.UPLOADED).first()
    if found is None:
        return
    asked = found.options.get("asked", {})
    try:
        with stored(found.file) as file:
            sheet = _as_csv(found, file) if reading.kind(file) == "workbook" else found.options.get("sheet", "")
        with stored(found.file) as file:
            table = reading.examine(file, **({"encoding": "utf-8", "separator": ","} if sheet else asked))
    except reading.Unreadable as error:
        refuse(id, str(error))
        return
    table.sheet = sheet
    columns = fields.guess(table.heading)
    # Race: staff chose another encoding meanwhile. This then changes nothing, and their job looks again.
    unchanged = Import.objects.filter(pk=id, state=State.UPLOADED, options=found.options)
    unchanged.update(options=table.options() | {"asked": asked}, columns=columns)


def _as_csv(found: Import, file) -> str:
    """Replace the workbook by its sheet as CSV; returns the sheet's name. The row changes last: a crash before that
    leaves the new file an orphan, and the change leaves the workbook one."""
    converted, sheet = workbook.converted(file)
    with converted:
        name = default_storage.save(f"imports/{uuid.uuid4().hex}", File(converted))
    Import.objects.filter(pk=found.pk, state=State.UPLOADED).update(file=name, options={"sheet": sheet})
    found.file, found.options = name, {"sheet": sheet}
    return sheet
