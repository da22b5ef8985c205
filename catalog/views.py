"""Product pages: home, list, and one page per product."""

from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Q, Subquery, Value
from django.db.models.functions import MD5, Concat
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from catalog.models import Category, Product
from catalog.search import search, tidy

PER_PAGE = 12
PICKS = 8
COMPANIONS = 4


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Categories, and a few products that change daily."""
    today = timezone.localdate().isoformat()
    cover = Product.objects.filter(category=OuterRef("pk"), active=True).order_by("pk")
    shelves = Category.objects.annotate(
        cover=Subquery(cover.values("slug")[:1]), size=Count("products", filter=Q(products__active=True))
    )
    shelves = shelves.filter(size__gt=0).order_by("position", "name")  # the aggregate drops the model's order
    picks = Product.objects.filter(active=True, stock__gt=0).order_by(MD5(Concat("slug", Value(today))))
    context = {"shelves": shelves, "picks": picks[:PICKS], "live_search": True}
    return render(request, "catalog/home.html", context)


@require_safe
def products(request: HttpRequest) -> HttpResponse:
    """The product list: `?q=` searches, `?category=` filters, `?page=` selects the page.

    An invalid `page` shows the first or last page. An unknown category is a 404.
    """
    text = tidy(request.GET.get("q", ""))
    category = chosen_category(request.GET.get("category", ""))
    found = Product.objects.filter(active=True).select_related("category")
    if category:
        found = found.filter(category=category)
    if text:
        found = search(found, text)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    pages = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    context = {"page": page, "pages": pages, "q": text, "category": category, "live_search": True}
    return render(request, "catalog/products.html", context)


def chosen_category(slug: str) -> Category | None:
    """The category with this slug, or None for an empty one. Raises Http404.

    Python compares the slugs, as PostgreSQL rejects a NUL.
    """
    categories = Category.objects.in_bulk(field_name="slug") if slug else {}
    if slug and slug not in categories:
        raise Http404("There is no such category.")
    return categories.get(slug)


@require_safe
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """One product, and products that are often bought with it."""
    shown = get_object_or_404(Product.objects.select_related("category"), slug=slug, active=True)
    pairs = shown.bought_together.filter(other__active=True).select_related("other")
    companions = pairs.order_by("-count", "other__name")[:COMPANIONS]
    context = {
        "product": shown,
        "companions": [pair.other for pair in companions],
        "live_search": True,
    }
    return render(request, "catalog/product.html", context)
