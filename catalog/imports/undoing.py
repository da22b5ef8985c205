"""Takes an import back, a chunk in each job: what it changed gets its values back, what it added is deleted.

A product that was changed since is left, and its row says so. Stock is no such change: it goes back by the difference,
so that orders since stay counted.
"""

from collections.abc import Collection, Mapping

from django.db import transaction
from django.db.models import Count, ProtectedError, Q
from django.utils import timezone

from catalog.imports import product_values
from catalog.imports.applying import category_ids, lock, put, save, update
from catalog.imports.models import ImportRow
from catalog.imports.states import CHUNK, State, change, locked
from catalog.models import Product

LEFT = [["", "It was changed or used after the import, and is left as it is."]]


def undo_chunk(id: int, line: int) -> int:
    """Take back the rows from this line on; returns how many. For an atomic task."""
    found = locked(id, State.UNDOING)
    if found is None:
        return 0
    rows = list(found.rows.filter(line__range=(line, line + CHUNK - 1), errors=[], done=True))
    products = {each.pk: each for each in lock(pk__in=[row.product_id for row in rows])}
    added = {
        product.pk for row in rows if (product := products.get(row.product_id or 0)) and _is_as_added(row, product)
    }
    deleted = added - _delete(added)
    categories = category_ids()
    for row in rows:
        _take_back(row, products, deleted, categories)
    update([products[row.product_id or 0] for row in rows if row.before and not row.done], found.columns)
    save(rows)
    return sum(not row.done for row in rows)


def _take_back(
    row: ImportRow, products: Mapping[int, Product], deleted: Collection[int], categories: Mapping[str, int]
) -> None:
    """Give the row's product its former values, not saved yet. The row is no longer done, or says that it is left."""
    product = products.get(row.product_id or 0)
    if row.before is None:
        taken_back = product is None or product.pk in deleted
        if taken_back:
            row.product = None
    else:
        taken_back = not row.before or (product is not None and _restore(row, product, categories))
    if taken_back:
        row.done = False
    else:
        row.errors = LEFT


def _restore(row: ImportRow, product: Product, categories: Mapping[str, int]) -> bool:
    """False if it does not have the import's values any more, or can't have its former ones."""
    now, before = product_values.current(product), dict(row.before or {})
    if any(now[name] != row.values[name] for name in before if name != "stock"):
        return False
    if "stock" in before:
        before["stock"] += now["stock"] - row.values["stock"]
    gone = "category" in before and before["category"] not in categories
    if gone or before.get("stock", 0) < 0 or product_values.misfits(before, product):
        return False
    put(product, before, before, categories)
    return True


def _is_as_added(row: ImportRow, product: Product) -> bool:
    """Whether the import added the product, and it has its values and was never ordered."""
    now = product_values.current(product)
    return row.before is None and not product.taken and all(now[name] == row.values[name] for name in row.values)


def _delete(ids: Collection[int]) -> set[int]:
    """Delete these products but for those that orders or other rows need; returns the ids of these."""
    used = Product.objects.filter(Q(media__isnull=False) | Q(reviews__isnull=False), pk__in=ids)
    held = set(used.values_list("pk", flat=True))
    while True:
        try:
            with transaction.atomic():
                Product.objects.filter(pk__in={*ids} - held).delete()
            return held
        except ProtectedError as error:
            held |= {
                getattr(each, field.attname)
                for each in error.protected_objects
                for field in each._meta.concrete_fields
                if field.related_model is Product
            }


def end(id: int) -> None:
    """The batch's callback: all chunks are done."""
    if found := locked(id, State.UNDOING):
        counts = found.rows.aggregate(left=Count("pk", filter=Q(done=True)))
        options = found.options | {"undone": counts}
        change(id, State.UNDONE, State.UNDOING, options=options, ended_at=timezone.now())
