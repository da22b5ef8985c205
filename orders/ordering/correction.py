"""Another email address for orders: staff correct one that its customer has mistyped, and an account's follow it."""

from django.db import transaction
from django.db.models import QuerySet

from backroom.ledger import operations
from backroom.ledger.models import Job, State
from notifications.models import Channel
from orders import follow_ups
from orders.cart import new_token
from orders.fulfilment import loyalty
from orders.models import Order

BATCH = 500  # orders in one UPDATE


def correct_email(number: int, email: str) -> bool:
    """Give an order another address, valid as the checkout takes it. False if the order has this address already, or
    its customer is erased."""
    return _correct(Order.objects.filter(number=number).exclude(email=email), email)


def follow(user: int, old: str, new: str) -> None:
    """Give an account's orders its new address, but for those with another one than the old, as of a gift."""
    _correct(Order.objects.filter(user=user, email__iexact=old), new)


def _correct(orders: QuerySet[Order], email: str) -> bool:
    """The orders have one address, whose points move along. Their mails that failed are sent again. The old links end:
    a mail may have taken them to a stranger."""
    with transaction.atomic():
        found = list(orders.filter(erased_at=None).order_by("number").select_for_update(no_key=True))
        if not found:
            return False
        loyalty.move(found[0].email, email, sum(order.points for order in found))
        for order in found:
            order.email, order.token = email, new_token()
        Order.objects.bulk_update(found, ["email", "token"], batch_size=BATCH)
        mails = [key for order in found for key in _mails(order.number)]
        dead = Job.objects.filter(key__in=mails, state=State.DEAD).values_list("id", flat=True)
        operations.replay([str(id) for id in dead])
        operations.reschedule(*mails)
    return True


def _mails(number: int) -> list[str]:
    by_mail = [step.key(number) for step in follow_ups.FOLLOW_UPS if step.effect and step.effect[0] == "mail"]
    return by_mail + follow_ups.notice_keys(number, Channel.MAIL)
