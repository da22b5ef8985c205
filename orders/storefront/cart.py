"""The cart: in the session, as {slug: {"quantity", "price"}}.

The price (text, never a float) is the one that the visitor saw when the product was added, so that the cart shows a
change of it before the checkout.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest

from catalog.models import Product
from orders.ordering.checkout import Wanted

MAX_QUANTITY = 99  # of one product
MAX_LINES = 50
KEY = "cart"


class CartFull(Exception):
    """The stock or the cart does not hold this quantity; the message is for the visitor."""


@dataclass(frozen=True)
class CartLine:
    """One product in the cart, with the price that the visitor saw."""

    product: Product
    quantity: int
    seen: Decimal

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity

    @property
    def price_changed(self) -> bool:
        return self.seen != self.product.price

    @property
    def too_many(self) -> bool:
        return self.quantity > self.product.stock


class Cart:
    """The cart of one session."""

    def __init__(self, request: HttpRequest) -> None:
        self.session = request.session
        self.items: dict[str, dict] = self.session.get(KEY, {})

    def __len__(self) -> int:
        return sum(item["quantity"] for item in self.items.values())

    def add(self, product: Product, quantity: int) -> None:
        """Add to the product's quantity. Raises CartFull."""
        self.set(product, quantity + self.items.get(product.slug, {}).get("quantity", 0))

    def set(self, product: Product, quantity: int) -> None:
        """Set the product's quantity; 0 removes it. Raises CartFull."""
        if quantity == 0:
            return self.remove(product.slug)
        if quantity > product.stock:
            left = f"only {product.stock} left" if product.stock else "sold out"
            raise CartFull(f"{product.name}: {left}.")
        if quantity > MAX_QUANTITY:
            raise CartFull(f"{product.name}: at most {MAX_QUANTITY} in one order.")
        if product.slug not in self.items and len(self.items) >= MAX_LINES:
            raise CartFull(f"At most {MAX_LINES} different products fit in one order.")
        seen = self.items.get(product.slug, {}).get("price", str(product.price))
        self.items[product.slug] = {"quantity": quantity, "price": seen}
        self._save()

    def remove(self, slug: str) -> None:
        self.items.pop(slug, None)
        self._save()

    def clear(self) -> None:
        self.items = {}
        self._save()

    def lines(self) -> list[CartLine]:
        """The products in the order in which they were added. Products that are no longer sold are removed."""
        found = {p.slug: p for p in Product.objects.filter(slug__in=self.items, active=True)}
        for slug in self.items.keys() - found.keys():
            self.remove(slug)
        return [CartLine(found[slug], item["quantity"], Decimal(item["price"])) for slug, item in self.items.items()]

    def accept_prices(self, lines: list[CartLine]) -> None:
        """Record that the visitor has seen today's prices."""
        for line in lines:
            if line.price_changed:
                self.items[line.product.slug]["price"] = str(line.product.price)
                self._save()

    def wanted(self) -> list[Wanted]:
        """The cart as the checkout takes it."""
        return [Wanted(slug, item["quantity"], Decimal(item["price"])) for slug, item in self.items.items()]

    def _save(self) -> None:
        self.session[KEY] = self.items


def cart_count(request: HttpRequest) -> dict[str, int]:
    """A context processor: the number of pieces in the cart, for every page."""
    return {"cart_count": len(Cart(request)) if hasattr(request, "session") else 0}
