"""Reserving stock and releasing it, product by product in the order of their ids.

The same order everywhere prevents a deadlock between two orders of the same products. `Product.taken` counts the same
pieces again, for the audit.
"""

from django.db.models import F

from catalog.models import Product
from catalog.signals import restocked
from orders.models import OrderLine


def reserve(product: Product, quantity: int) -> bool:
    """Take pieces of a product as it was read; False if its price has changed or too few are left.

    The UPDATE holds the condition: the second buyer of the last piece waits for the first one's transaction and then
    matches no row.
    """
    unchanged = Product.objects.filter(pk=product.pk, active=True, price=product.price, stock__gte=quantity)
    return unchanged.update(stock=F("stock") - quantity, taken=F("taken") + quantity) == 1


def release(number: int) -> None:
    """Put an order's pieces back. Call it once, in the transaction that ends the order."""
    lines = OrderLine.objects.filter(order_id=number).order_by("product_id")
    pieces = list(lines.values_list("product_id", "quantity", "taken"))
    for product_id, quantity, taken in pieces:
        Product.objects.filter(pk=product_id).update(stock=F("stock") + quantity, taken=F("taken") - taken)
    restocked.send(Product, product_ids=[product_id for product_id, *_ in pieces])
