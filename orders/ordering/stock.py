"""Taking pieces off the shelf and putting them back, always product by product in the order of their ids.

That one order for all is what keeps two baskets with the same products from waiting for each other for ever. `taken`
counts the same pieces once more, for the audit.
"""

from django.db.models import F

from catalog.models import Product
from orders.models import OrderLine


def reserve(product: Product, quantity: int) -> bool:
    """Take pieces of a product as it was read; False if it is no longer there at that price in that number.

    The condition stands in the UPDATE itself: of two buyers of the last piece the second waits for the first's
    transaction, and is then told no.
    """
    still_so = Product.objects.filter(pk=product.pk, active=True, price=product.price, stock__gte=quantity)
    return still_so.update(stock=F("stock") - quantity, taken=F("taken") + quantity) == 1


def give_back(number: int) -> None:
    """Put an order's pieces back; to be called once, in the transaction that ends the order."""
    lines = OrderLine.objects.filter(order_id=number).order_by("product_id")
    for product_id, quantity, taken in lines.values_list("product_id", "quantity", "taken"):
        Product.objects.filter(pk=product_id).update(stock=F("stock") + quantity, taken=F("taken") - taken)
