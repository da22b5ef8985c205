"""The clean-up of each night: what crashes and abandoned work have left, a job for each kind. One that fails is retried
alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

from accounts import customers
from catalog import low_stock, orphans
from catalog.models import Import
from orders.exports import files
from orders.models import Export

SWEEPS: dict[str, Callable[[], Any]] = {
    "imports": partial(orphans.delete_private, "imports", Import),
    "exports": partial(orphans.delete_private, files.FOLDER, Export),
    "former-addresses": customers.delete_former_addresses,
    "low-stock": low_stock.purge,
}
