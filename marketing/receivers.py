"""What this room enqueues when a cart changes, in the transaction of the change."""

from typing import Any

from django.dispatch import receiver

from backroom.ledger import operations
from marketing import carts
from marketing.tasks import remind_of_cart
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
