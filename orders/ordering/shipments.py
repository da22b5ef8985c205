"""What the warehouse reports of a parcel, by webhook: that it left, and that it arrived.

One transaction stores the event, changes the order and enqueues its follow-ups. These are a few rows, so the webhook
writes them itself, and needs no job. The event's id admits it once. `shipped_at` and `delivered_at` change by
compare-and-set: the first report enqueues, and the earliest time holds.

| The report | The event | The order | The customer |
| --- | --- | --- | --- |
| is the first of its kind | is stored | gets the time | is notified |
| came before | is known | | |
| came before, under another id | is stored | keeps the earlier of both times | |
| is "delivered", before any "shipped" | is stored | gets the time | is notified |
| is "shipped", after "delivered" | is stored | gets the time | no: notices.py |
| is of an order cancelled after its shipment was requested | is stored | gets the time | no |
| is of an erased customer | is stored | gets the time | no |
| is over two weeks late | is stored | gets the time | no: notices.py |
| is older than the order | is stored as it is | gets the order's time | is notified |
| is of tomorrow | is stored as it is | gets the time of its arrival | is notified |
| is of an order whose shipment was not requested | is stored | | no; the audit lists it |
| is of an order that does not exist | | | no; the log has it |
| is of another type | | | no; the log has it |

The warehouse gets 204 for all of them: it would send the same for ever, and get the same answer. The limit: a report
that never comes changes nothing. The reconciler tells staff after two days, and the customer sees "expected by".
"""

from datetime import datetime

from django.utils import timezone

from backroom import enqueue_all
from backroom.inbound.webhooks import Event
from backroom.ledger import operations
from orders import events, follow_ups
from orders.follow_ups import When
from orders.fulfilment import warehouse
from orders.models import Order, ShipmentEvent, Status
from orders.ordering import reports

KINDS = {"shipment.shipped": ("shipped_at", When.SHIPPED), "shipment.delivered": ("delivered_at", When.DELIVERED)}


def record(event: Event) -> None:
    """Store an event of the warehouse, with its consequences. Raises Unreadable for one without an order's number."""

    def change(order: Order) -> None:
        if order.sent_at:
            warehouse.accept(order.number, event.data.get("tracking"))
            _change(order.number, *KINDS[event.type], min(max(event.at, order.created_at), timezone.now()))

    kind = event.type.removeprefix("shipment.") if event.type in KINDS else None
    reports.record("warehouse", event, ShipmentEvent, kind, change)


def _change(number: int, column: str, when: When, at: datetime) -> None:
    """Two reports at once: the second waits at the row, then finds the first's time."""
    order = Order.objects.filter(number=number)
    if not order.filter(**{column: None}).update(**{column: at}):
        order.filter(**{f"{column}__gt": at}).update(**{column: at})
        return
    operations.reschedule(follow_ups.ERASE.key(number))  # it waits for the parcel to leave
    if order.filter(status=Status.PAID, erased_at=None).exists():
        enqueue_all(*follow_ups.calls(number, when))
        events.announce(number, column.removesuffix("_at"))
