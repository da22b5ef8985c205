"""The clean-up at the end of each month: what crashes and abandoned work have left, a job for each kind. One that fails
is retried alone, and a long one goes on where a deploy cut it off."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts import customers
from catalog import low_stock, orphans
from catalog.models import Import
from orders.exports import files
from orders.models import Export


def delete_temporary_files() -> None:
    """Delete those of killed processes: uploads, and Excel files that were being written."""
    folder = settings.FILE_UPLOAD_TEMP_DIR
    for path in Path(folder).iterdir() if folder else ():
        if path.lstat().st_mtime > time.time() - orphans.YOUNG.total_seconds():
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


SWEEPS: dict[str, Callable[[], Any]] = {
    "imports": partial(orphans.delete, "imports", Import),
    "exports": partial(orphans.delete, files.FOLDER, Export),
    "temporary-files": delete_temporary_files,
    "former-addresses": customers.delete_former_addresses,
    "low-stock": low_stock.purge,
}
