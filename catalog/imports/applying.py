"""Writes the staged rows to the products, a chunk in each job: the products, and `done` in their rows, in one
transaction. So a repeated job finds its rows done.

Chunks, orders and staff lock products in the order of their ids, which prevents a deadlock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from catalog.imports import product_values
from catalog.imports.models import Import, ImportRow
from catalog.imports.staging import column
from catalog.imports.states import CHUNK, State, change, locked
from catalog.models import Category, Product
from catalog.search import refresh_many
from catalog.signals import restocked


def apply_chunk(id: int, line: int) -> int:
    """Apply the rows from this line on; returns how many. For an atomic task. Race: another transaction adds the
    product of a new slug now. Then this one fails, and its retry finds the product."""
    found = locked(id, State.APPLYING)
    if found is None:  # cancelled
        return 0
    rows = list(found.rows.filter(line__range=(line, line + CHUNK - 1), errors=[], done=False))
    known = {each.slug: each for each in lock(slug__in=[row.values["slug"] for row in rows])}
    empty = sold_out(known.values())
    categories = category_ids()
    for row in rows:
        _put(found, row, known.get(row.values["slug"]), categories)
    done = [row for row in rows if row.done]
    _insert([row for row in done if row.before is None])
    update([row.product for row in done if row.before and row.product], found.columns)
    save(rows)
    send_restocked(known.values(), empty)
    return len(done)


def _put(found: Import, row: ImportRow, product: Product | None, categories: Mapping[str, int]) -> None:
    """Give the row its product with the row's values, not saved yet; or the errors of what has changed since the dry
    run."""
    wrong = product_values.misfits(row.values, product)
    if row.values.get("category", "") not in {"", *categories}:
        wrong["category"] = ["There is no such category any more."]
    if wrong:
        row.errors = [[column(found, name), text] for name, texts in wrong.items() for text in texts]
        return
    row.done = True
    if product:
        now = product_values.current(product)
        row.before = {name: now[name] for name, value in row.values.items() if now[name] != value}
    row.product = product or Product()
    changed = row.values if row.before is None else {name: row.values[name] for name in row.before}
    product_values.assign(row.product, changed, categories)
    if row.product.was is not None and {"price", "was"} & changed.keys():
        row.product.offered_at = timezone.now()  # a changed offer is news, as in the admin


def _insert(rows: Sequence[ImportRow]) -> None:
    """Add the products of these rows, in the order of their slugs: two imports that add the same wait, and don't
    deadlock."""
    made = sorted((row.product for row in rows if row.product), key=lambda product: product.slug)
    Product.objects.bulk_create(made)
    refresh_many([product.pk for product in made])


def update(products: Sequence[Product], names: Collection[str]) -> None:
    """Write these fields of locked products, with one statement, and let the search follow."""
    names = {*names, "offered_at"} - {"slug"}
    Product.objects.bulk_create(products, update_conflicts=True, unique_fields=["id"], update_fields=sorted(names))
    refresh_many([product.pk for product in products])


def save(rows: Sequence[ImportRow]) -> None:
    """Write what became of the rows, with one statement."""
    ImportRow.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=["before", "done", "errors", "product"]
    )


def sold_out(products: Iterable[Product]) -> set[int]:
    return {each.pk for each in products if not each.available}


def send_restocked(products: Iterable[Product], empty: Collection[int]) -> None:
    """Send the signal for those of the sold out ones that can be bought again."""
    if back := [each.pk for each in products if each.pk in empty and each.available]:
        restocked.send(Product, product_ids=back)


def lock(**which: object) -> QuerySet[Product]:
    """Orders of them go on: only their stock waits."""
    products = Product.objects.select_for_update(of=("self",), no_key=True).select_related("category")
    return products.filter(**which).order_by("pk")


def category_ids() -> dict[str, int]:
    return dict(Category.objects.values_list("slug", "pk"))


def end(id: int) -> None:
    """The batch's callback: all chunks are done."""
    if found := locked(id, State.APPLYING):
        done = Q(done=True)
        counts = found.rows.aggregate(
            new=Count("pk", filter=done & Q(before__isnull=True)),
            same=Count("pk", filter=done & Q(before={})),
            changed=Count("pk", filter=done & Q(before__isnull=False) & ~Q(before={})),
            wrong=Count("pk", filter=~Q(errors=[])),
        )
        options = found.options | {"applied": counts}
        change(id, State.APPLIED, State.APPLYING, options=options, ended_at=timezone.now())
