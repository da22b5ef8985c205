"""How an order ends: transaction B of the checkout, and the safety net that gets there when a web process didn't.

Whoever learns how the payment stands (the request, or the job `settle:<number>`) calls `conclude`. Each verb here
changes the status by compare-and-set, and all that follows from it is in the same transaction: the first one does
it, all later ones do nothing.

This module stands between checkout.py and tasks.py, and holds its own tasks: settling enqueues follow-ups.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from backroom import Call, Retry, Snooze, enqueue_all, task
from backroom.ledger import operations
from orders import payments, tasks
from orders.models import Order, Status
from orders.ordering import stock

PATIENCE = timedelta(hours=1)  # so long are pieces reserved for an order whose payment nobody can confirm


def conclude(number: int, payment: str | None, answered: bool = False) -> None:
    """Draw the consequence of how the payment stands (None: the gateway never heard of it) for a placed order.
    `answered`: it is the answer to a request, so no mail need tell the customer that nothing came of the order."""
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
        enqueue_all(*follow_ups(number))
        operations.cancel(keys=[f"settle:{number}"], why="the payment is settled")
    return True


def follow_ups(number: int) -> list[Call]:
    """What the back room does for a paid order. No money is taken before the fraud review had its look, and nothing
    is shipped before the money was taken."""
    return [
        tasks.make_invoice.call(number).then(tasks.mail_receipt.call(number)),
        tasks.review_fraud.call(number).then(tasks.capture_payment.call(number), tasks.request_shipment.call(number)),
        tasks.send_analytics.call(number),
        tasks.add_loyalty_points.call(number),
        tasks.update_recommendations.call(number),
    ]


def end_unpaid(number: int, status: Status, answered: bool = False) -> bool:
    """End a placed order as declined or cancelled and put its pieces back; False if it is no longer placed. A customer
    who is not `answered` was told at the checkout that we go on asking, and is mailed."""
    with transaction.atomic():
        placed = Order.objects.filter(number=number, status=Status.PLACED)
        if not placed.update(status=status, ends_by_mail=not answered):
            return False
        if not answered:
            tasks.mail_unpaid.enqueue(number)
        stock.give_back(number)
        operations.cancel(keys=[f"settle:{number}"], why="the payment is settled")
    return True


def cancel(number: int, answered: bool = False) -> bool:
    """Give up on a payment: cancel the placed order, and have whatever was or will be charged voided.

    First our own decision is committed, then the gateway learns of it, by a job in the same transaction. The other way
    round, a request that was approved just before could still mark as paid what was just voided. The void reaches
    also an authorization that is still on its way: the gateway remembers the key.
    """
    with transaction.atomic():
        cancelled = end_unpaid(number, Status.CANCELLED, answered)
        if cancelled:
            void_payment.enqueue(number)
    return cancelled


def settle(number: int) -> None:
    """Finish what the request left open. Raises Snooze while the payment is pending, and what payments.find does."""
    if Order.objects.get(number=number).status != Status.PLACED:
        return
    payment = payments.find(number)
    if payment == payments.PENDING:
        raise Snooze(3, "the bank is still thinking about the payment")
    conclude(number, payment)


def release_hold(number: int) -> bool:
    """Let an order on hold be charged and shipped after all; False if it is not on hold.

    Accepted: a job that read "on hold" in this very instant looks again only after its snooze.
    """
    with transaction.atomic():
        held = Order.objects.filter(number=number, status=Status.ON_HOLD)
        if not held.update(status=Status.PAID):
            return False
        for kind in ("capture", "shipment"):
            operations.reschedule(f"{kind}:{number}")
    return True


@task(name="orders.settle_payment", queue="critical", key="settle:{number}", retry=Retry(attempts=70, cap=60))
def settle_payment(number: int) -> None:
    """The net under the checkout: tries for longer than pieces stay reserved."""
    settle(number)


@task(name="orders.void_payment", key="void:{number}", retry=tasks.MONEY)
def void_payment(number: int) -> None:
    """What was reserved for an order that never became a paid one is let go."""
    payments.void(number)


@task(name="orders.release_unpaid")
def release_unpaid() -> None:
    """Orders whose payment could not be confirmed for too long: their pieces are sold to others."""
    overdue = Order.objects.filter(status=Status.PLACED, created_at__lt=Now() - PATIENCE)
    for number in overdue.order_by("number").values_list("number", flat=True):
        cancel(number)
