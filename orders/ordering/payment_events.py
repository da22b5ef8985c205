"""What the payment gateway reports by webhook: that money was reserved, taken or given back.

A report is a hint, and no more is believed of it: the job `settle:<number>` asks the gateway, and ends the order by its
answer. The event and the job's new time are one transaction. So a report may come twice, late and in any order.

| The report | The event | The order |
| --- | --- | --- |
| "authorized", of a placed order | is stored | `settle:<number>` runs once its request had its time |
| "authorized", of any other | is stored | |
| "captured", "refunded" | is stored | staff see it; the audit reads the gateway's own records |
| came before | is known | |
| is of an order that does not exist | | the log has it |
| is of another type | | the log has it |

The gateway gets 204 for all of them: it would send the same for ever, and get the same answer. The limit: a report that
never comes changes nothing, and the job runs a minute after the order.
"""

from datetime import timedelta

from django.utils import timezone

from backroom.inbound.webhooks import Event
from backroom.ledger import operations
from orders.follow_ups import SETTLE
from orders.models import Order, PaymentEvent, Status
from orders.ordering import reports

KINDS = {"payment.authorized": "authorized", "payment.captured": "captured", "payment.refunded": "refunded"}
REQUEST = timedelta(seconds=5)  # a checkout waits for the gateway, at most, and then finishes its order: payments.py


def record(event: Event) -> None:
    """Store an event of the gateway, with its consequence. Raises Unreadable for one without an order's number."""
    change = _settle if event.type == "payment.authorized" else lambda order: None
    reports.record("payment gateway", event, PaymentEvent, KINDS.get(event.type), change)


def _settle(order: Order) -> None:
    """Of a placed order, let the job wait for as long as the request may still finish it: nearly each one does."""
    if order.status == Status.PLACED:
        left = order.created_at + REQUEST - timezone.now()
        operations.reschedule(SETTLE.key(order.number), seconds=max(0.0, left.total_seconds()))
