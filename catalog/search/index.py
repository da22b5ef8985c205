"""The search index, in generations of one entry for each product.

A search reads the live generation. A rebuild fills the next one beside it, and one UPDATE swaps them. Meanwhile a
refresh writes to both.

Each write takes the lock of the index's row first. Race: two refreshes of one product. The later one reads the product
once the first has committed, so no older text is written last. Race: a rebuild begins or swaps during a refresh. The
refresh sees the generations from before or after, and what it copied is in both.

The limit: what an older release changes comes with the nightly rebuild, or one that staff start on /ops/.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models.functions import Now

from backroom import resumable
from catalog.index import SearchEntry, SearchIndex
from catalog.models import Product

CHUNK = 500  # products of one transaction: a fraction of a second
SWEPT = 5_000  # entries of one DELETE

# Each word behind a blank, without accents and punctuation: " creme fraiche".
WORDS = r"""' ' || btrim(lower(regexp_replace(regexp_replace(
    normalize(name || ' ' || also_called, NFD), '[\u0300-\u036f]+', '', 'g'), '[[:space:][:punct:]]+', ' ', 'g')))"""
# English stems find "tomatoes" by "tomato"; plain words beside them match a word that is still being typed. The
# product's lock keeps its deletion waiting, which then deletes the entry, too; a checkout does not wait for it.
WRITE = rf"""
INSERT INTO catalog_searchentry AS entry (generation, product_id, document, words, bought)
SELECT generation, id, setweight(to_tsvector('english', name || words) || to_tsvector('simple', name || ' '
    || also_called || words), 'A') || setweight(to_tsvector('english', description), 'B'), words, greatest(taken, 0)
FROM unnest(%s::int[]) generation, (
    SELECT id, name, also_called, description, taken, {WORDS} AS words
    FROM catalog_product WHERE id = ANY(%s) FOR KEY SHARE
) product
ON CONFLICT (generation, product_id)
DO UPDATE SET document = excluded.document, words = excluded.words, bought = excluded.bought
WHERE (entry.document, entry.words) IS DISTINCT FROM (excluded.document, excluded.words)
"""  # noqa: S608 - WORDS stands above


class Step(NamedTuple):
    """One transaction of a rebuild: some products to copy, or, without any, the swap."""

    generation: int
    products: list[int]

    @property
    def cursor(self) -> list[int | None]:
        return [self.generation, self.products[-1] if self.products else None]


def write(products: list[int]) -> None:
    """Write products as they are now into the live generation, and into the one that is being built."""
    with transaction.atomic():
        index = _locked()
        _write([index.live, *([index.building] if index.building else [])], products)


def rebuild() -> None:
    """Fill the next generation, swap, and delete older ones. It goes on where a crash cut it off."""
    for step in (steps := resumable(_steps, cursor="cursor")):
        with steps.atomic():
            _do(step)
    old = SearchEntry.objects.filter(generation__lt=SearchIndex.objects.values("live"))
    while SearchEntry.objects.filter(pk__in=old.values("pk")[:SWEPT]).delete()[0]:
        pass


def chunks(after: int, size: int) -> Iterator[list[int]]:
    """The ids of all products behind one, in order."""
    while ids := list(Product.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:size]):
        yield ids
        after = ids[-1]


def _steps(cursor: list[int | None] | None) -> Iterator[Step]:
    """The steps behind a cursor; of a new generation without one."""
    generation, after = cursor or (_begin(), 0)
    if generation is None or after is None:
        return  # the swap was the last step
    for ids in chunks(after, CHUNK):
        yield Step(generation, ids)
    yield Step(generation, [])


@transaction.atomic
def _begin() -> int:
    """From now on each refresh writes to the new generation, too. Returns its number."""
    index = _locked()
    number = max(index.live, index.building or 0) + 1
    SearchIndex.objects.update(building=number)
    return number


def _do(step: Step) -> None:
    """Nothing, if another rebuild has begun since: a person replayed this one, which was a dead letter."""
    index = _locked()
    if index.building != step.generation:
        return
    if step.products:
        _write([step.generation], step.products)
    else:
        SearchIndex.objects.update(live=step.generation, building=None, built_at=Now())


def _locked() -> SearchIndex:
    """The index's row, until the transaction ends."""
    return SearchIndex.objects.select_for_update().get_or_create(pk=1)[0]


def _write(generations: list[int], products: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [generations, products])
