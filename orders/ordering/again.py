"""Ordering again: what an earlier order had, at today's prices."""

from catalog.models import Product
from catalog.templatetags.money import money
from orders.cart import Cart
from orders.models import Order, OrderLine


def order_again(order: Order, cart: Cart) -> tuple[int, list[str]]:
    """Put an order's products into a cart, as far as the stock and the cart hold them. Returns how many pieces, and a
    sentence for each product that is left out or costs something else today."""
    lines = list(order.lines.select_related("product"))
    inside = dict(cart.items.values_list("product_id", "quantity"))
    wanted = [min(line.quantity, line.product.available - inside.get(line.product_id, 0)) for line in lines]
    took = cart.fill((line.product, pieces, line.product.price) for line, pieces in zip(lines, wanted, strict=True))
    found = []
    for line, pieces, fits in zip(lines, wanted, took, strict=True):
        if fits < line.quantity:
            found.append(_left_out(line, line.product, fits, stock=pieces < line.quantity))
        if fits and line.unit_price != line.product.price:
            found.append(f"{line.name}: the price is now {money(line.product.price)}, it was {money(line.unit_price)}.")
    return sum(took), found


def _left_out(line: OrderLine, product: Product, fits: int, stock: bool) -> str:
    why = product.left if stock else "the cart holds no more"
    return f"{line.name}: {why}{f', {fits} of {line.quantity} added' if fits else ''}."
