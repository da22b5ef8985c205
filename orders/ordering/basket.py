"""What an order is about: products out of the catalog, in the quantities and at the prices that the customer saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from catalog.models import Product
from catalog.templatetags.money import money
from orders.models import Order, OrderLine
from orders.ordering.refusals import PriceChanged, Refused, SoldOut, UnknownProduct


@dataclass(frozen=True)
class Wanted:
    """One product of a basket; each product once. `price` is the one that the customer saw; None accepts any."""

    slug: str
    quantity: int
    price: Decimal | None = None


def pick(wanted: Sequence[Wanted]) -> list[tuple[Product, int]]:
    """The products with their quantities, by id. Raises Refused for anything visible without a lock."""
    by_slug = {
        product.slug: product for product in Product.objects.filter(slug__in=[w.slug for w in wanted], active=True)
    }
    for line in wanted:
        product = by_slug.get(line.slug)
        if product is None:
            raise UnknownProduct("This product is no longer available.", line.slug)
        if line.price is not None and line.price != product.price:
            raise _price_changed(product)
        if product.stock < line.quantity:
            raise _sold_out(product)
    return sorted(((by_slug[line.slug], line.quantity) for line in wanted), key=lambda pair: pair[0].pk)


def _price_changed(product: Product) -> PriceChanged:
    return PriceChanged(f"The price of {product.name} is now {money(product.price)}.", product.slug)


def _sold_out(product: Product) -> SoldOut:
    return SoldOut(f"{product.name}: {product.left}.", product.slug)


def refusal(product: Product, quantity: int) -> Refused:
    """Why a product could not be reserved that could be a moment ago."""
    product.refresh_from_db(fields=["price", "stock", "active"])
    if not product.active:
        return UnknownProduct(f"{product.name} is no longer available.", product.slug)
    return _sold_out(product) if product.stock < quantity else _price_changed(product)


def order_line(order: Order, product: Product, quantity: int) -> OrderLine:
    return OrderLine(
        order=order,
        product=product,
        name=product.name,
        unit=product.unit,
        unit_price=product.price,
        vat_rate=product.vat_rate,
        quantity=quantity,
        taken=quantity,
    )
