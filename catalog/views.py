"""Product pages: home, list, and one page per product."""

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from backroom.inbound import limits
from backroom.inbound.client import client_of
from backroom.inbound.limits import LimitReached
from catalog import home as home_page
from catalog import reviews
from catalog.media import gallery
from catalog.models import Category, Product
from catalog.search.query import search, tidy
from catalog.search.spelling import respelt, suggestions

PER_PAGE = 12
COMPANIONS = 4
SORTS = {"name": "Name", "price": "Lowest price", "-price": "Highest price"}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Categories, and a few products that change daily."""
    shelves, picks = home_page.shown()
    return render(request, "catalog/home.html", {"shelves": shelves, "picks": picks})


@require_safe
def suggest(request: HttpRequest) -> HttpResponse:
    """The names of products that fit what is typed so far in `?q=`, for the list below the search field. None for a
    client over its limit: a person who types fast needs no error."""
    try:
        limits.take(request, suggestions_by_client=client_of(request))
    except LimitReached:
        products = []
    else:
        products = suggestions(tidy(request.GET.get("q", "")))
    return render(request, "catalog/_suggestions.html", {"products": products})


@require_safe
def products(request: HttpRequest) -> HttpResponse:
    """The product list: `?q=` searches, `?category=` and `?in_stock=1` filter, `?sort=` sorts, `?page=` selects a page.

    An invalid `page` shows the first or last page, an invalid `sort` the usual order. An unknown category is a 404.
    """
    text = tidy(request.GET.get("q", ""))
    category, in_stock = chosen_category(request.GET.get("category", "")), "in_stock" in request.GET
    shelf = Product.objects.filter(active=True).select_related("category").prefetch_related(gallery.covers())
    if category:
        shelf = shelf.filter(category=category)
    if in_stock:
        shelf = shelf.filter(stock__gt=0)
    found, guess = matching(shelf, text)
    if (sort := request.GET.get("sort", "")) in SORTS:
        found = found.order_by(sort, "name")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    pages = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    context = {"page": page, "pages": pages, "q": text, "guess": guess, "category": category}
    choice = {"sorts": SORTS, "sort": sort, "in_stock": in_stock}
    return render(request, "catalog/products.html", {**context, **choice})


def matching(shelf: QuerySet[Product], text: str) -> tuple[QuerySet[Product], str]:
    """The products that match a text, or "" for all; and the text as it was guessed, respelt or with any of
    its words, if only that one matches."""
    found = search(shelf, text) if text else shelf
    if not text or found.exists():
        return found, ""
    guesses = [respelt(text)]
    words = guesses[0].split()
    if "".join(words).isalnum() and "or" not in words:  # a text with operators is exact
        guesses.append(" or ".join(words))
    for guess in dict.fromkeys(guesses):
        guessed = search(shelf, guess)
        if guessed.exists():
            return guessed, guess
    return found, ""


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
    """One product, its reviews, and products that are often bought with it."""
    shown = get_object_or_404(Product.objects.select_related("category"), slug=slug, active=True)
    pairs = shown.bought_together.filter(other__active=True).select_related("other")
    companions = pairs.prefetch_related(gallery.covers("other__media")).order_by("-count", "other__name")[:COMPANIONS]
    context = {
        "product": shown,
        "category": shown.category,
        "gallery": gallery.published().filter(product=shown),
        "companions": [pair.other for pair in companions],
        "reviews": reviews.summary(shown.reviews.all()),
    }
    return render(request, "catalog/product.html", context)
