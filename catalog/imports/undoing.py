"""Takes an import back, a chunk in each job: what it changed gets its values back, what it added is deleted.

A product that was changed or used since stays as it is, and an error in its row says so. Stock is no such change: it
goes back by the difference, so that orders since stay counted. The limit: a stock that staff set since goes back by it,
too.
"""

from collections.abc import Collection, Mapping

from django.db.models import Count, ForeignObjectRel, Q
from django.utils import timezone

from catalog.imports import product_values
from catalog.imports.applying import category_ids, lock, save, send_restocked, sold_out, update
from catalog.imports.models import Import, ImportRow
from catalog.imports.states import CHUNK, State, change, later, locked
from catalog.models import LowStock, Product, SearchEntry, SupplierItem
from catalog.search.tasks import warm_home_soon

DERIVED = {ImportRow, LowStock, SearchEntry, SupplierItem}  # the shop writes these rows of each product by itself
LEFT = [["", "It was changed or used after the import, and is left as it is."]]


def undo_chunk(id: int, line: int) -> int:
    """Take back the rows from this line on; returns how many. For an atomic task."""
    found = locked(id, State.UNDOING)
    if found is None:
        return 0
    rows = list(found.rows.filter(line__range=(line, line + CHUNK - 1), errors=[], done=True))
    products = {each.pk: each for each in lock(pk__in=[row.product_id for row in rows])}
    for product in _written_later(found, products):
        del products[product]
    empty = sold_out(products.values())
    deleted = _delete(rows, products)
    categories = category_ids()
    for row in rows:
        _take_back(row, products, deleted, categories)
    update([products[row.product_id or 0] for row in rows if row.before and not row.done], found.columns)
    save(rows)
    send_restocked(products.values(), empty)
    return sum(not row.done for row in rows)


def _written_later(found: Import, products: Collection[int]) -> set[int]:
    rows = ImportRow.objects.filter(product__in=products, done=True, of__in=later(found))
    return {id for id in rows.values_list("product", flat=True) if id}


def _take_back(
    row: ImportRow, products: Mapping[int, Product], deleted: Collection[int], categories: Mapping[str, int]
) -> None:
    """Give the row's product its former values, not saved yet. The row is no longer done, or says that it is left."""
    product = products.get(row.product_id or 0)
    if row.before is None:
        taken_back = row.product_id is None or row.product_id in deleted
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
    product_values.assign(product, before, categories)
    return True


def _delete(rows: Collection[ImportRow], products: Mapping[int, Product]) -> set[int]:
    """Delete the products that these rows added and that are as they were added; returns their ids. Race: an order or a
    cart takes one now. Then this transaction fails, and its retry finds that one used."""
    added = {
        product.pk
        for row in rows
        if row.before is None and (product := products.get(row.product_id or 0)) and _is_as_added(row, product)
    }
    unused = added - _used(added)
    if unused:
        Product.objects.filter(pk__in=unused).delete()
        warm_home_soon()
    return unused


def _is_as_added(row: ImportRow, product: Product) -> bool:
    """Whether it has the row's values and no others, and was never ordered."""
    now, then = product_values.current(product), {**product_values.NEW, **row.values}
    return not product.taken and all(now[name] == then[name] for name in then)


def _used(ids: Collection[int]) -> set[int]:
    """Those of the products that an order, a cart, a picture, a review or any other row names."""
    used: set[int] = set()
    for relation in Product._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel) and relation.related_model not in DERIVED:
            key = relation.field.attname
            rows = relation.related_model._base_manager.filter(**{f"{key}__in": ids})
            used.update(rows.values_list(key, flat=True))
    return used


def end(id: int) -> None:
    """The batch's callback: all chunks are done."""
    if found := locked(id, State.UNDOING):
        counts = found.rows.aggregate(left=Count("pk", filter=Q(done=True)))
        options = found.options | {"undone": counts}
        change(id, State.UNDONE, State.UNDOING, options=options, ended_at=timezone.now())
