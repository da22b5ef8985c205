"""Filling the shelves: what stands in products.toml, a few statements however many products there are."""

import tomllib
from decimal import Decimal
from pathlib import Path

from django.db import transaction

from catalog.models import BoughtTogether, Category, Product

SOURCE = Path(__file__).parent / "products.toml"
FIELDS = ("slug", "name", "also_called", "description", "price", "unit", "stock")


def seed() -> int:
    """Add the categories, products and pairs that are missing; return how many products there are now.

    What is there already stays as it is: staff may have changed it, and customers have bought from it.
    """
    source = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    with transaction.atomic():
        categories = add_categories(source["shelf"])
        add_products(source["shelf"], categories)
        add_pairs(source["pairs"])
    return Product.objects.count()


def restock() -> int:
    """Put what was sold back on the shelves; return how many products that were. More than the seed's stays.

    No transaction around it: holding many products locked, it could deadlock with a checkout.
    """
    source = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    return sum(
        Product.objects.filter(slug=item["slug"], stock__lt=item["stock"]).update(stock=item["stock"])
        for shelf in source["shelf"]
        for item in shelf["products"]
    )


def add_categories(shelves: list[dict]) -> dict[str, Category]:
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
            **{field: item[field] for field in FIELDS if field in item},
        )
        for shelf in shelves
        for item in shelf["products"]
    ]
    Product.objects.bulk_create(rows, ignore_conflicts=True)


def add_pairs(pairs: dict[str, list[str]]) -> None:
    """Both directions, counted 0: nobody has bought them yet. What staff deleted is left out."""
    products = Product.objects.in_bulk(field_name="slug")
    known = [(a, b) for a, others in pairs.items() for b in others if a in products and b in products]
    rows = [
        BoughtTogether(product=products[one], other=products[other])
        for a, b in known
        for one, other in ((a, b), (b, a))
    ]
    BoughtTogether.objects.bulk_create(rows, ignore_conflicts=True)
