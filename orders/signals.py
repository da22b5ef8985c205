"""What happened to a cart or an order, for the rooms above. Each is sent in the transaction of the change: jobs that a
receiver enqueues commit with it, and an error in one rolls it back."""

from django.dispatch import Signal

cart_changed = Signal()  # argument: cart, whose items may have changed
order_paid = Signal()  # argument: number, of the order
