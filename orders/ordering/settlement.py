"""How a payment ends an order's checkout: transaction B, and the job `settle:<number>` that finishes it.

The request and the job call `conclude` with the payment's status. Each verb changes the order's status by
compare-and-set, with all consequences in the same transaction: the first caller wins, later ones change nothing.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from backroom import Snooze, enqueue_all, resumable
from backroom.ledger import operations
from orders import events, follow_ups, payments
from orders.follow_ups import SETTLE, When
from orders.models import Order, Status
from orders.ordering import stock
from orders.signals import order_paid

UNPAID_LIMIT = timedelta(hours=1)  # stock stays reserved this long for an unconfirmed payment


def conclude(number: int, payment: str | None, answered: bool = False) -> None:
    """End a placed order by its payment's status; None: the gateway has no record of it. `answered`: the response of
    the request says how it ended, so no mail does."""
    if payment in (payments.APPROVED, payments.CAPTURED):
        mark_paid(number)
    elif payment == payments.DECLINED:
        end_unpaid(number, Status.DECLINED, answered)
    else:
        cancel(number, answered)


def mark_paid(number: int) -> bool:
    """Mark a placed order as paid and enqueue its follow-ups; False if it is no longer placed."""
    with transaction.atomic():
        placed = Order.objects.filter(number=number, status=Status.PLACED)
        if not placed.update(status=Status.PAID, paid_at=Now()):
            return False
        enqueue_all(*follow_ups.calls(number, When.PAID))
        operations.cancel(keys=[SETTLE.key(number)], why="the payment is settled")
        order_paid.send(Order, number=number)
        events.announce(number, "paid")
    return True


def end_unpaid(number: int, status: Status, answered: bool = False) -> bool:
    """End a placed order as declined or cancelled and release its stock; False if it is no longer placed. A customer
    without an answer has read that the payment is being confirmed, and is mailed."""
    with transaction.atomic():
        placed = Order.objects.filter(number=number, status=Status.PLACED)
        if not placed.update(status=status, ends_by_mail=not answered):
            return False
        if not answered:
            enqueue_all(*follow_ups.calls(number, When.UNPAID))
        stock.release(number)
        operations.cancel(keys=[SETTLE.key(number)], why="the payment is settled")
        order = Order.objects.select_related("cart").get(number=number)
        if order.cart:
            order.cart.give_back(order.lines.values_list("product_id", "quantity", "unit_price"))
        events.announce(number, "cancelled")
    return True


def cancel(number: int, answered: bool = False) -> bool:
    """Cancel a placed order and void its payment; False if it is no longer placed.

    The status commits first, and the job that voids commits with it. In the other order, a request that was approved
    just before could mark an order as paid whose payment is void. The void also stops an authorization that has not
    reached the gateway yet: the gateway remembers the key.
    """
    with transaction.atomic():
        cancelled = end_unpaid(number, Status.CANCELLED, answered)
        if cancelled:
            enqueue_all(*follow_ups.calls(number, When.VOIDED))
    return cancelled


def settle(number: int) -> None:
    """Finish an order whose request did not. Raises Snooze while the payment is pending, and what payments.find
    does."""
    if Order.objects.get(number=number).status != Status.PLACED:
        return
    payment = payments.find(number)
    if payment == payments.PENDING:
        raise Snooze(3, "the bank has not decided yet")
    conclude(number, payment)


def release_unpaid() -> None:
    """Cancel the orders whose payment stayed unconfirmed beyond UNPAID_LIMIT. A deploy cuts in between two of them."""
    overdue = Order.objects.filter(status=Status.PLACED, created_at__lt=Now() - UNPAID_LIMIT)
    for order in (rows := resumable(overdue)):
        with rows.atomic():
            cancel(order.number)


def release_hold(number: int) -> bool:
    """Release an order from hold, to be charged and shipped; False if it is not on hold.

    Accepted: a job that read "on hold" at this instant reads the status again only after its snooze.
    """
    with transaction.atomic():
        held = Order.objects.filter(number=number, status=Status.ON_HOLD)
        if not held.update(status=Status.PAID):
            return False
        for follow_up in follow_ups.of(When.PAID):
            if follow_up.on_hold:
                operations.reschedule(follow_up.key(number))
    return True
