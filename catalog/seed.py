"""Adds the products of products.toml and their search entries, in a few statements however many there are.

Each deploy runs it, so it fills an empty catalog only: a product that staff deleted stays away.
"""

import tomllib
from decimal import Decimal
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from catalog.models import BoughtTogether, Category, Product
from catalog.search import index
from catalog.signals import restocked

SOURCE = Path(__file__).parent / "products.toml"
FIELDS = ("slug", "name", "also_called", "description", "price", "was", "unit", "stock")


def read_source() -> dict:
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def seed() -> int:
    """Fill an empty catalog with categories, products and pairs. Returns the number of products."""
    if not Product.objects.exists():
        _fill(read_source())
    return Product.objects.count()


def _fill(source: dict) -> None:
    """Race: two deploys may fill it at once, so rows that are there stay."""
    with transaction.atomic():
        add_products(source["shelf"], add_categories(source["shelf"]))
        add_pairs(source["pairs"])
        slugs = [item["slug"] for shelf in source["shelf"] for item in shelf["products"]]
        index.write(list(Product.objects.filter(slug__in=slugs).values_list("pk", flat=True)))


def restock() -> int:
    """Raise each stock to the source's, where it is lower. Returns the number of products raised.

    Each UPDATE commits on its own: a transaction that locked many products could deadlock with a checkout.
    """
    return sum(
        _raise_stock(item["slug"], item["stock"]) for shelf in read_source()["shelf"] for item in shelf["products"]
    )


@transaction.atomic
def _raise_stock(slug: str, stock: int) -> int:
    raised = Product.objects.filter(slug=slug, stock__lt=stock).update(stock=stock)
    if raised:
        restocked.send(Product, product_ids=list(Product.objects.filter(slug=slug).values_list("pk", flat=True)))
    return raised


def add_categories(shelves: list[dict]) -> dict[str, Category]:
    """Returns all categories by slug."""
    rows = [
        Category(slug=shelf["slug"], name=shelf["name"], position=position)
        for position, shelf in enumerate(shelves, start=1)
    ]
    Category.objects.bulk_create(rows, ignore_conflicts=True)
    return Category.objects.in_bulk(field_name="slug")


def add_products(shelves: list[dict], categories: dict[str, Category]) -> None:
    rows = [
        Product(
            category=categories[shelf["slug"]],
            vat_rate=Decimal(shelf["vat_rate"]),
            offered_at=timezone.now() if "was" in item else None,
            **{field: item[field] for field in FIELDS if field in item},
        )
        for shelf in shelves
        for item in shelf["products"]
    ]
    Product.objects.bulk_create(rows, ignore_conflicts=True)


def add_pairs(pairs: dict[str, list[str]]) -> None:
    """Both directions, with count 0. Pairs with a product that staff deleted are left out."""
    products = Product.objects.in_bulk(field_name="slug")
    rows = [
        BoughtTogether(product=products[a], other=products[b])
        for one, others in pairs.items()
        for other in others
        for a, b in ((one, other), (other, one))
        if {a, b} <= products.keys()
    ]
    BoughtTogether.objects.bulk_create(rows, ignore_conflicts=True)
