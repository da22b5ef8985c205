"""The registry of follow-ups: every job that an order causes, one entry each.

A new follow-up is one entry here and one verb, the function that the entry names. tasks.py makes the Celery task of it;
checkout, cancellation, timeline, audit and reconciler read the rest. Entries hold names and no functions, as the ledger
does: a web process enqueues a follow-up without importing its verb.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

from django.db.models import F, Q
from django.db.models.functions import Floor

from backroom import Call, Retry
from notifications.models import Channel

PATIENT = Retry(attempts=16, first=2, cap=1800)  # about three hours: longer than most outages of a partner
MONEY = Retry(attempts=200, first=2, cap=1800)  # four days: an order must never end half charged
BANK_FAILS = "The bank did not answer. We will try again."
MAIL_FAILS = "The email could not be sent. We will try again."


class When(Enum):
    """The change of an order that enqueues a follow-up, in the same transaction."""

    PLACED = auto()
    PAID = auto()
    CANCELLED = auto()  # after it was paid
    CREDITED = auto()  # the same, and it was invoiced
    VOIDED = auto()  # cancelled before it was paid
    UNPAID = auto()  # declined or cancelled after the customer had left the checkout
    SENT = auto()  # the warehouse has accepted it
    SHIPPED = auto()  # the warehouse reports that it left,
    DELIVERED = auto()  # and that it arrived


@dataclass(frozen=True)
class FollowUp:
    """One kind of job. Its key is `<kind>:<order number>`, and so is the key of its effect."""

    kind: str
    task: str  # its name in the ledger: jobs outlive a renamed function
    verb: str  # dotted path of the function that the task runs
    label: str  # customers read it in the timeline,
    failing: str  # and this while the job is retried
    when: When = When.PAID
    effect: tuple[str, str] | None = None  # partner and kind, as the partner records it
    counted: Q | None = None  # of an Order: our own tables show the effect
    notice: bool = False  # the effect is a notice of this key, by the channel that its row names
    later: timedelta | None = None  # it runs so long after the change; nothing waits for it
    after: str = ""  # the kind that must succeed first
    on_hold: str = ""  # it waits while the order is on hold, and customers read this
    labels: Mapping[str, str] = field(default_factory=dict)  # by Order.payment, instead of `label`
    internal: bool = False  # customers see it only with the whole back room
    stops: bool = False  # a cancellation of the order cancels the job, unless it has begun
    queue: str = "default"
    retry: Retry = field(default_factory=Retry)
    atomic: bool = False
    argument: str = "number"
    also: str = ""  # a second argument, by which the order can have more than one such job
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_format(self) -> str:
        return f"{self.kind}:{{{self.argument}}}" + (f"-{{{self.also}}}" if self.also else "")

    def key(self, number: int, **also: int) -> str:
        return self.key_format.format(**{self.argument: number}, **also)

    def call(self, number: int, run_after: timedelta | None = None, **also: int) -> Call:
        """The call for an order, not yet enqueued."""
        arguments = {self.argument: number}
        key = self.key(number, **also)
        return Call(self.task, arguments | also, self.queue, self.retry.attempts, key, run_after or self.later)


# Order.payment of a cancelled order, whose card was not charged and was
RELEASED = ("releasing", "released")
REFUNDED = ("refunding", "refunded")

SETTLE = FollowUp(
    "settle", "orders.settle_payment", "orders.ordering.settlement.settle", "Payment confirmation", BANK_FAILS,
    when=When.PLACED, queue="critical", retry=Retry(attempts=70, cap=60),  # longer than stock stays reserved
)  # fmt: skip
VOID = FollowUp(
    "void", "orders.void_payment", "orders.payments.void", "Payment release", BANK_FAILS,
    when=When.VOIDED, effect=("payments", "void"), retry=MONEY,
)  # fmt: skip
REFUND = FollowUp(
    "refund", "orders.refund_payment", "orders.fulfilment.capture.refund", "Refund", BANK_FAILS,
    when=When.CANCELLED, effect=("payments", "refund"), retry=MONEY, labels=dict.fromkeys(RELEASED, VOID.label),
)  # fmt: skip

FOLLOW_UPS: tuple[FollowUp, ...] = (  # in the order of the timeline; `after` names an earlier one
    SETTLE,
    VOID,
    FollowUp(
        "invoice", "orders.make_invoice", "orders.fulfilment.invoices.make_invoice", "Invoice",
        "The invoice could not be created. We will try again.",
        effect=("orders", "invoice"), stops=True, queue="critical", atomic=True,
    ),
    FollowUp(
        "receipt", "orders.mail_receipt", "orders.fulfilment.emails.send_receipt", "Confirmation by email", MAIL_FAILS,
        effect=("mail", "receipt"), after="invoice", stops=True, queue="critical", retry=PATIENT,
    ),
    FollowUp(
        "fraud", "orders.review_fraud", "orders.fulfilment.fraud.review", "Fraud check",
        "The fraud check is not available. We will try again.",
        effect=("fraud", "review"), internal=True, stops=True, retry=PATIENT,
    ),
    FollowUp(
        "capture", "orders.capture_payment", "orders.fulfilment.capture.capture", "Payment", BANK_FAILS,
        effect=("payments", "charge"), after="fraud", stops=True, retry=MONEY,
        on_hold="Your order is under review. Your card has not been charged yet.",
    ),
    FollowUp(
        "shipment", "orders.request_shipment", "orders.fulfilment.warehouse.request_shipment",
        "Order to the warehouse",
        "The warehouse did not answer. We will try again.",
        effect=("warehouse", "shipment"), after="capture", stops=True, retry=PATIENT,
        on_hold="Your order ships after the review.",
    ),
    FollowUp(
        "label", "orders.make_label", "orders.fulfilment.labels.make_label", "Shipping label",
        "The label could not be created. We will try again.",
        when=When.SENT, effect=("orders", "label"), internal=True, stops=True, atomic=True,
    ),
    FollowUp(
        "analytics", "orders.send_analytics", "orders.fulfilment.analytics.send_order_paid", "Statistics",
        "The statistics service did not answer. We will try again.",
        effect=("analytics", "order_paid"), internal=True, queue="bulk", retry=PATIENT,
    ),
    FollowUp(
        "loyalty", "orders.add_loyalty_points", "orders.fulfilment.loyalty.add_points", "Loyalty points",
        "The points could not be added. We will try again.",
        counted=Q(points__gte=Floor(F("total") - F("delivery"))), atomic=True,  # an order of under a euro brings none
        labels=dict.fromkeys(RELEASED + REFUNDED, "Return of the loyalty points"),
    ),
    FollowUp(
        "recommendations", "orders.update_recommendations", "orders.fulfilment.recommendations.learn_from",
        "Recommendations", "The recommendations could not be updated. We will try again.",
        counted=Q(learned=True), internal=True, queue="bulk", atomic=True,
    ),
    REFUND,
    FollowUp(
        "credit_note", "orders.make_credit_note", "orders.fulfilment.invoices.make_credit_note", "Credit note",
        "The credit note could not be created. We will try again.",
        when=When.CREDITED, effect=("orders", "credit_note"), queue="critical", atomic=True,
    ),
    FollowUp(
        "cancellation", "orders.mail_cancellation", "orders.fulfilment.emails.send_cancellation",
        "Cancellation by email", MAIL_FAILS,
        when=When.CANCELLED, effect=("mail", "cancellation"), after="credit_note", queue="critical", retry=PATIENT,
    ),
    FollowUp(
        "unpaid", "orders.mail_unpaid", "orders.fulfilment.emails.send_unpaid", "Payment result by email", MAIL_FAILS,
        when=When.UNPAID, effect=("mail", "unpaid"), queue="critical", retry=PATIENT,
    ),
    FollowUp(
        "shipped", "orders.notify_shipped", "orders.fulfilment.notices.notify_shipped", "Notice of the shipment",
        "The notice could not be sent. We will try again.",
        when=When.SHIPPED, notice=True, internal=True, stops=True, atomic=True,
    ),
    FollowUp(
        "delivered", "orders.notify_delivered", "orders.fulfilment.notices.notify_delivered", "Notice of the delivery",
        "The notice could not be sent. We will try again.",
        when=When.DELIVERED, notice=True, internal=True, stops=True, atomic=True,
    ),
    FollowUp(
        "review", "orders.ask_for_review", "marketing.reviews.ask", "Request for a review", MAIL_FAILS,
        when=When.DELIVERED, later=timedelta(days=7), internal=True, stops=True, queue="bulk", retry=PATIENT,
    ),
)  # fmt: skip

# The customer asks for it. `slot` is of time, and has one mail; no order has the number 0.
LINK = FollowUp(
    "link", "orders.mail_link", "orders.fulfilment.emails.send_link", "Link by email", MAIL_FAILS,
    also="slot", queue="critical", retry=PATIENT,
)  # fmt: skip

# A person or staff ask for it, or the time has come: privacy.py.
ERASE = FollowUp(
    "erase", "orders.erase_customer", "orders.privacy.erase_order", "Erasure of the customer",
    "A partner did not answer. We will try again.", queue="bulk", retry=PATIENT,
)  # fmt: skip


def of(*when: When) -> list[FollowUp]:
    """The follow-ups that these changes enqueue."""
    return [follow_up for follow_up in FOLLOW_UPS if follow_up.when in when]


def ending(credited: bool) -> tuple[When, ...]:
    """The changes that a cancellation of a paid order is."""
    return (When.CANCELLED, When.CREDITED) if credited else (When.CANCELLED,)


def chains(*when: When) -> list[list[FollowUp]]:
    """The follow-ups of these changes, each behind the one of them that must succeed first."""
    found: list[list[FollowUp]] = []
    for follow_up in of(*when):
        chain = next((chain for chain in found if any(step.kind == follow_up.after for step in chain)), None)
        if chain is None:
            found.append(chain := [])
        chain.append(follow_up)
    return found


def calls(number: int, *when: When) -> list[Call]:
    """The calls to enqueue, one for each chain."""
    return [head.call(number).then(*(step.call(number) for step in steps)) for head, *steps in chains(*when)]


def keys(number: int) -> list[str]:
    """The keys that jobs of an order can have, without those that nothing waits for."""
    return [follow_up.key(number) for follow_up in FOLLOW_UPS if not follow_up.later] + notice_keys(number)


def notice_keys(number: int, *channels: str) -> list[str]:
    """The keys that the jobs of its notices can have, by these channels or all."""
    found = [follow_up.key(number) for follow_up in FOLLOW_UPS if follow_up.notice]
    return [f"{channel}:{key}" for channel in channels or Channel.values for key in found]


def number_of(key: str) -> int | None:
    """The order of a job's key; None for another job."""
    kind, _, number = key.partition(":")
    return int(number) if number.isdecimal() and any(follow_up.kind == kind for follow_up in FOLLOW_UPS) else None
