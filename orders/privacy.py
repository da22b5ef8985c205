"""A customer's data: exported, erased on demand, and erased in time.

Erasing is a job for each order, `erase:<number>`. The partners forget first, then our own row: a crash in between
leaves the job, which needs the order's number only.

What stays: the order without its customer (number, amounts, products, dates, country), as the books and the audit need
it; and its invoice and credit note as they were issued, with name and address. The law demands these unchanged for
INVOICE_RETENTION_YEARS full calendar years; then their PDF is emptied. A browser's session holds no more than the id of
a cart, which is deleted.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Now

from backroom import Snooze, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job, State
from backroom.ops import audit_log
from backroom.outbound.http import Partner
from orders import follow_ups
from orders.cart import CartItem, new_token
from orders.follow_ups import PATIENT, FollowUp
from orders.fulfilment import loyalty
from orders.models import CreditNote, Invoice, LoyaltyAccount, Order, OrderLine, Status

ERASE = FollowUp(
    "erase", "orders.erase_customer", "orders.privacy.erase_order", "Erasure of the customer",
    "A partner did not answer. We will try again.", queue="bulk", retry=PATIENT,
)  # fmt: skip
PARTNERS = (Partner("mail"), Partner("warehouse"))  # they hold a name or an address, and can forget an order's
BATCH = 500  # orders, or documents, in one slot of the schedule
WAIT = 3600  # seconds between two looks at an order that still needs its customer
DOCUMENTS: dict[str, Any] = {"invoice": Invoice, "credit_note": CreditNote}
UNENDED = (Status.PLACED, Status.ON_HOLD)
ACCESS = {"token", "idempotency_key", "fingerprint", "cart"}  # ours, and not the customer's


def export(address: str) -> dict[str, Any] | None:
    """All that is held about the customer of this address, in any case, as values for JSON; None if there is none."""
    orders = _orders_of(address).prefetch_related("lines")
    carts = CartItem.objects.filter(cart__in=orders.values("cart")).order_by("id")
    points = LoyaltyAccount.objects.filter(email=address.lower()).values_list("points", flat=True).first()
    if points is None and not orders:
        return None
    return {
        "email": address,
        "loyalty_points": points or 0,
        "carts": list(carts.values("product__name", "quantity", "seen")),
        "orders": [_fields(order, ACCESS) | _parts(order) for order in orders],
    }


def _orders_of(address: str) -> QuerySet[Order]:
    return Order.objects.filter(email__iexact=address, erased_at=None).order_by("number")


def _parts(order: Order) -> dict[str, Any]:
    documents = {
        kind: base64.b64encode(document.pdf).decode()
        for kind, model in DOCUMENTS.items()
        for document in model.objects.filter(order=order)
    }
    return {"lines": [_fields(line, {"id", "order", "taken"}) for line in order.lines.all()], **documents}


def _fields(row: Order | OrderLine, hidden: set[str]) -> dict[str, Any]:
    return {each.name: getattr(row, each.attname) for each in row._meta.concrete_fields if each.name not in hidden}


def erase(address: str, who: str) -> list[int]:
    """Enqueue the erasure of each order of this address, in any case, and record it; returns the orders' numbers. An
    order that has its job already keeps it, and a dead one is replayed."""
    with transaction.atomic():
        numbers = list(_orders_of(address).values_list("number", flat=True))
        if numbers:
            jobs = enqueue_all(*map(ERASE.call, numbers))
            operations.replay(jobs)
            orders = ", ".join(f"order {number}" for number in numbers)
            audit_log.note("erased", f"the customer of {orders}", who, jobs=jobs)
    return numbers


def erase_order(number: int) -> None:
    """Have the partners forget an order's customer, then erase it here; a second call does nothing. Raises Snooze while
    a person or a job, even a dead one, still needs the customer, and what Partner.post does.

    The lock makes a cancellation wait, which then finds the order erased and changes nothing. One that comes first has
    enqueued its jobs, and the second look sees them.
    """
    order = Order.objects.get(number=number)
    if order.erased_at is not None:
        return
    _wait_for_the_rest(order)
    for partner in PARTNERS:
        partner.post(f"/{partner.name}/erasures", {"order": str(number)}, key=ERASE.key(number))
    with transaction.atomic():
        order = Order.objects.select_for_update().get(number=number)
        _wait_for_the_rest(order)
        loyalty.leave(order)
        if order.cart is not None:
            order.cart.delete()
        Order.objects.filter(number=number).update(
            erased_at=Now(), token=new_token(), idempotency_key=None, cart=None,
            **dict.fromkeys(("email", "name", "address", "city", "postcode", "fingerprint"), ""),
        )  # fmt: skip


def _wait_for_the_rest(order: Order) -> None:
    if order.status in UNENDED:
        raise Snooze(WAIT, f"the order is {order.get_status_display()}")
    its = Q(key__in=follow_ups.keys(order.number)) | Q(key__startswith=f"link:{order.number}-")
    if job := Job.objects.filter(its, state__in=[*LIVE, State.DEAD]).first():
        raise Snooze(WAIT, f"{job} is {job.get_state_display()}")


def erase_old() -> dict[str, int]:
    """Enqueue the erasure of a batch of orders older than CUSTOMER_RETENTION_DAYS, the oldest first, and empty a batch
    of documents older than INVOICE_RETENTION_YEARS. Returns how many."""
    limit = Now() - timedelta(days=settings.CUSTOMER_RETENTION_DAYS)
    old = Order.objects.filter(created_at__lt=limit, erased_at=None).exclude(status__in=UNENDED)
    begun = Job.objects.filter(key=Concat(Value(ERASE.kind + ":"), Cast(OuterRef("pk"), CharField())))
    numbers = list(old.filter(~Exists(begun)).order_by("created_at").values_list("number", flat=True)[:BATCH])
    enqueue_all(*map(ERASE.call, numbers))
    return {"orders": len(numbers), "documents": sum(map(_empty, DOCUMENTS.values()))}


def _empty(documents: Any) -> int:
    """A customer may open the documents of an order that is not erased: these wait."""
    limit = datetime(datetime.now(UTC).year - settings.INVOICE_RETENTION_YEARS, 1, 1, tzinfo=UTC)
    old = documents.objects.filter(~Q(pdf=b""), created_at__lt=limit, order__erased_at__isnull=False)
    return documents.objects.filter(pk__in=old.order_by("pk").values("pk")[:BATCH]).update(pdf=b"")
