"""What orders hold about a customer: exported, erased on demand, and erased in time.

A person or staff ask through the registry, accounts/personal_data.py. Erasing is a job for each order,
`erase:<number>`. The partners forget first, then our own row: a crash in between leaves the job, which needs the
order's number only.

What stays: the order without its customer and account (number, amounts, products, dates, country), as the books and the
audit need it; and its invoice and credit note as they were issued, with name and address. The law demands these
unchanged for INVOICE_RETENTION_YEARS full calendar years; then their PDF is emptied. A guest's session holds no more
than the id of a cart, which is deleted; an account's cart goes with the account.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from backroom import Call, Snooze, enqueue_all, progress
from backroom.ledger.models import LIVE, Job, State
from backroom.outbound.http import Partner
from orders import follow_ups
from orders.cart import CartItem, new_token
from orders.follow_ups import ERASE
from orders.fulfilment import loyalty
from orders.models import CreditNote, Invoice, Label, LoyaltyAccount, Order, OrderLine, Status

# They hold a name, an address or a message, and can forget an order's.
PARTNERS = tuple(map(Partner, ("mail", "warehouse", "sms", "push")))
BATCH = 500  # orders, or documents, in one slot of the schedule
WAIT = 3600  # seconds between two looks at an order that waits for a person or its parcel; an end of that wakes it
SOON = 10  # and at one that waits for its own jobs
LEAVES = timedelta(days=14)  # after the request of its shipment; a parcel has left by then, reported or not
DOCUMENTS: dict[str, Any] = {"invoice": Invoice, "credit_note": CreditNote}
UNENDED = (Status.PLACED, Status.ON_HOLD)
ACCESS = {"token", "idempotency_key", "fingerprint", "cart", "user"}  # ours, and not the customer's


def export(address: str, user: User | None) -> dict[str, Any] | None:
    """The orders of this address, in any case, and of the account, with their documents; carts and points."""
    orders = orders_of(address, user)
    its = Q(cart__in=orders.values("cart")) | (Q(cart__user=user) if user else Q())
    carts = CartItem.objects.filter(its).order_by("id").values("product__name", "quantity", "seen")
    points = LoyaltyAccount.objects.filter(email=address.lower()).values_list("points", flat=True).first()
    count = orders.count()
    if points is None and not count and not carts:
        return None
    whole = orders.select_related(*DOCUMENTS, "label").prefetch_related("lines", "shipment_events")
    return {
        "loyalty_points": points or 0,
        "carts": list(carts),
        "orders": [_fields(each, ACCESS) | _parts(each) for each in progress(whole.iterator(chunk_size=100), count)],
    }


def orders_of(address: str, user: User | None) -> QuerySet[Order]:
    """For an account its own orders, and the guests' ones with its address: one of another account stays that one's,
    whichever address was typed there. Staff who ask for an address without an account get all."""
    its = Q(email__iexact=address)
    return Order.objects.filter(its & Q(user=None) | Q(user=user) if user else its, erased_at=None).order_by("number")


def _parts(order: Order) -> dict[str, Any]:
    documents = {kind: getattr(order, kind, None) for kind in (*DOCUMENTS, "label")}
    return {
        "lines": [_fields(line, {"id", "order", "taken"}) for line in order.lines.all()],
        "shipment": [{"kind": event.kind, "at": event.at} for event in order.shipment_events.all()],
        **{kind: base64.b64encode(document.pdf).decode() for kind, document in documents.items() if document},
    }


def _fields(row: Order | OrderLine, hidden: set[str]) -> dict[str, Any]:
    return {each.name: getattr(row, each.attname) for each in row._meta.concrete_fields if each.name not in hidden}


def erase(address: str, user: User | None) -> list[Call] | None:
    """The erasure of each order of this address, in any case, and of the account. Its cart goes with the account."""
    return [ERASE.call(number) for number in orders_of(address, user).values_list("number", flat=True)] or None


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
        if order.cart is not None and order.cart.user_id is None:
            order.cart.delete()
        Label.objects.filter(order=order).delete()
        Order.objects.filter(number=number).update(
            erased_at=Now(), token=new_token(), idempotency_key=None, cart=None, user=None,
            **dict.fromkeys(("email", "name", "address", "city", "postcode", "fingerprint", "tracking"), ""),
        )  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """Why an order still needs its customer: for staff, and in words for the customer."""

    seconds: float  # until the next look
    why: str
    words: str


def _wait_for_the_rest(order: Order) -> None:
    """The limit: what ends the wait commits between this look and the snooze. The next look is WAIT later at most."""
    if reason := _reason(order):
        raise Snooze(reason.seconds, reason.why)


def _reason(order: Order) -> Reason | None:
    if order.status == Status.ON_HOLD:
        words = "is under review. You can cancel it by the link in its email"
        return Reason(WAIT, "the order is on hold", words)
    if order.status == Status.PLACED:
        return Reason(SOON, "the order is placed", "waits for the bank")
    if order.sent_at and not (order.shipped_at or order.delivered_at):
        waited = timezone.now() - order.sent_at
        if waited < LEAVES:  # the warehouse still needs the address
            words = f"has not left the warehouse yet. We wait at most {LEAVES.days} days for that"
            # As long again: a report that comes during this look wakes no job, as this one still runs.
            seconds = min(WAIT, max(1, waited.total_seconds()))  # PostgreSQL's clock may be ahead
            return Reason(seconds, "its parcel has not left the warehouse", words)
    its = Q(key__in=follow_ups.keys(order.number)) | Q(key__startswith=f"link:{order.number}-")
    if job := Job.objects.filter(its, state__in=[*LIVE, State.DEAD]).first():
        seconds, words = SOON, "still has emails or payments to finish"
        if job.state == State.DEAD:
            seconds, words = WAIT, "has a step that failed. Our team takes care of it"
        return Reason(seconds, f"{job} is {job.get_state_display()}", words)
    return None


def left(number: str) -> str:
    """The sentence for the customer about an erasure that has not ended."""
    order = Order.objects.filter(number=number, erased_at=None).first()
    reason = _reason(order) if order else None
    return f"Order {number} {reason.words if reason else 'is being erased'}."


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
