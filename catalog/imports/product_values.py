"""The values of a product in a table: what fits together, and how a product gets them.

A value is as JSON holds it, in rows of an import as in exports: "2.50", 12, true, null, "2026-11-27".
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from catalog.models import Product

Values = dict[str, Any]
NEEDED = ("slug", "name", "category", "price")  # by a new product
NEW: Values = {  # of a product of which only these are given
    "also_called": "", "description": "", "was": None, "vat_rate": "5.00", "unit": "piece", "stock": 0, "active": True
}  # fmt: skip


def misfits(values: Values, product: Product | None) -> dict[str, list[str]]:
    """What does not fit together in a product with these values, by field. None: a new product."""
    wrong: dict[str, list[str]] = {}
    if product is None:
        wrong = {name: ["A new product needs it."] for name in NEEDED if name not in values}
    now = {**current(product), **values} if product else {"was": None, "price": None, **values}
    if now["was"] is not None and now["price"] is not None and Decimal(now["was"]) <= Decimal(now["price"]):
        wrong["was"] = ["The price before the offer must be above the price."]
    return wrong


def current(product: Product) -> Values:
    """All values of a product. It needs its category."""
    return {
        "slug": product.slug,
        "name": product.name,
        "also_called": product.also_called,
        "category": product.category.slug,
        "description": product.description,
        "price": f"{product.price:.2f}",
        "was": None if product.was is None else f"{product.was:.2f}",
        "vat_rate": f"{product.vat_rate:.2f}",
        "unit": product.unit,
        "stock": product.stock,
        "active": product.active,
        "added_at": product.added_at.astimezone(UTC).date().isoformat(),
    }


def assign(product: Product, values: Values, categories: Mapping[str, int]) -> None:
    """Give a product these values. `categories`: ids by slug."""
    for name, value in values.items():
        if name == "category":
            product.category_id = categories[value]
        elif name == "added_at":
            product.added_at = datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        elif name in ("price", "was", "vat_rate") and value is not None:
            setattr(product, name, Decimal(value))
        else:
            setattr(product, name, value)
