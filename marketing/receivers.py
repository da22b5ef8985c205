"""What this room enqueues when a cart or a product's stock changes, in the transaction of the change."""

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from backroom import enqueue_all
from backroom.ledger import operations
from catalog.signals import restocked
from marketing import carts, stock_alerts
from marketing.tasks import remind_of_cart, tell_those_waiting
from orders.cart import Cart
from orders.signals import cart_changed


@receiver(cart_changed)
def move_reminder(cart: Cart, **_: Any) -> None:
    """Move the reminder of a cart, or cancel that of an emptied one, as buying leaves it. A guest's cart has none, and
    costs no statement."""
    if not carts.is_reminded(cart):
        return
    if cart.items.exists():
        remind_of_cart.using(run_after=carts.AFTER).enqueue(cart.pk)
    else:
        operations.cancel(names=[carts.NAME.format(cart=cart.pk)], why="the cart is empty")


@receiver(restocked)
def tell_of_stock(product_ids: Sequence[int], **_: Any) -> None:
    """Tell those who wait for the products."""
    if awaited := stock_alerts.awaited(product_ids):
        enqueue_all(*(tell_those_waiting.call(product) for product in awaited))
