"""The jobs of imports. Each runs one verb. They stand apart from the rest of the room: requests.py imports them."""

from backroom import task
from catalog.imports import applying, opening, staging, states, undoing

ONE_AT_A_TIME = ("imports", 1)  # chunks, in the whole fleet: the rest of the machines is for customers


@task(
    name="catalog.open_import", queue="bulk", unique=("import-open:{import_id}", "while waiting"),
    limit=("import looks", 1),  # a workbook takes 640 MB
)  # fmt: skip
def open_import(import_id: int) -> None:
    """Look into an uploaded file."""
    opening.look(import_id)


@task(name="catalog.stage_import", queue="bulk", key="import-stage:{import_id}")
def stage_import(import_id: int) -> None:
    """Stage the rows of a file; resumable."""
    staging.stage(import_id)


@task(name="catalog.check_import", queue="bulk", key="import-check:{import_id}", atomic=True)
def check_import(import_id: int) -> None:
    """Check what only all rows together can tell."""
    staging.check(import_id)


@task(
    name="catalog.apply_import", queue="bulk", key="import-chunk:{import_id}-{line}", limit=ONE_AT_A_TIME, atomic=True
)  # fmt: skip
def apply_import(import_id: int, line: int) -> int:
    """Apply a chunk of rows, from this line on; returns how many."""
    return applying.apply_chunk(import_id, line)


@task(name="catalog.end_import", queue="bulk", key="import-end:{import_id}", atomic=True)
def end_import(import_id: int) -> None:
    """All chunks are applied."""
    applying.end(import_id)


@task(name="catalog.undo_import", queue="bulk", key="import-undo:{import_id}-{line}", limit=ONE_AT_A_TIME, atomic=True)
def undo_import(import_id: int, line: int) -> int:
    """Take back a chunk of rows; returns how many."""
    return undoing.undo_chunk(import_id, line)


@task(name="catalog.end_undo", queue="bulk", key="import-undone:{import_id}", atomic=True)
def end_undo(import_id: int) -> None:
    """All chunks are taken back."""
    undoing.end(import_id)


@task(name="catalog.purge_imports", queue="bulk")
def purge_imports() -> int:
    """Delete the files and staged rows of old imports; returns the number of these."""
    return states.purge()
