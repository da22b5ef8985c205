"""Correcting the email address of an order, by staff: its customer has mistyped it, or changed it."""

from django.db import transaction

from backroom.ledger import operations
from backroom.ledger.models import Job, State
from notifications.models import Channel
from orders import follow_ups
from orders.cart import new_token
from orders.fulfilment import loyalty
from orders.models import Order


def correct_email(number: int, email: str) -> bool:
    """Give an order another address, valid as the checkout takes it; its points move along, and its mails that failed
    are sent again. The old link ends: a mail may have taken it to a stranger. False if the order has this address
    already, or its customer is erased."""
    with transaction.atomic():
        order = Order.objects.select_for_update(no_key=True).filter(number=number, erased_at=None).first()
        if order is None or order.email == email:
            return False
        Order.objects.filter(number=number).update(email=email, token=new_token())
        loyalty.move(order, email)
        mails = [step.key(number) for step in follow_ups.FOLLOW_UPS if step.effect and step.effect[0] == "mail"]
        mails += follow_ups.notice_keys(number, Channel.MAIL)
        dead = Job.objects.filter(key__in=mails, state=State.DEAD).values_list("id", flat=True)
        operations.replay([str(id) for id in dead])
        operations.reschedule(*mails)
    return True
