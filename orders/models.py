"""The tables of orders, their lines, loyalty points and repairs.

A status changes by compare-and-set only (`filter(number=…, status=<from>).update(status=<to>)`): of two concurrent
changes one matches the row and the other matches none. Amounts are gross, VAT included.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models.functions import Now, Upper
from django_countries import countries

from catalog.models import Product
from catalog.text import plain_line
from notifications.addresses import deliverable
from orders.cart import Cart, new_token  # noqa: F401 - migrations name new_token
from orders.documents import CreditNote, Invoice, Label  # noqa: F401 - Django finds models here
from orders.link import Linked
from orders.numbers import new_number
from orders.records import AccountingBatch, Export, PaymentEvent, WeeklyReader  # noqa: F401


class Status(models.TextChoices):
    """The statuses of an order."""

    PLACED = "placed", "placed"  # stock is reserved, the payment is not known yet
    PAID = "paid", "paid"  # the payment is authorized, and captured before the shipment
    ON_HOLD = "on_hold", "on hold"  # paid; staff review it before capture and shipment
    DECLINED = "declined", "declined"  # the card was declined; its stock is released
    CANCELLED = "cancelled", "cancelled"  # with a paid_at: after it was paid, and refunded


class Order(Linked):
    """One purchase."""

    # An older release lets the column count.
    number = models.BigAutoField(primary_key=True, default=new_number)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLACED)
    # None: a guest's, or its customer is erased. ordering/owners.py says who it belongs to.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="orders", editable=False,
        db_index=False,
    )  # fmt: skip
    email = models.EmailField(validators=[deliverable])
    name = models.CharField(max_length=100, validators=[plain_line])
    address = models.CharField(max_length=200, validators=[plain_line])
    city = models.CharField(max_length=100, validators=[plain_line])
    postcode = models.CharField(max_length=16, validators=[plain_line])
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    total = models.DecimalField(max_digits=10, decimal_places=2, help_text="the lines and the delivery")
    # An older release sells without delivery.
    delivery = models.DecimalField(max_digits=8, decimal_places=2, db_default=0)
    delivery_vat_rate = models.DecimalField(max_digits=4, decimal_places=2, db_default=20)
    arrives_on = models.DateField(null=True, editable=False, help_text="the day that the customer was promised")
    currency = models.CharField(max_length=3)
    # NULLs are distinct: an order without a key never counts as a repetition.
    idempotency_key = models.CharField(max_length=100, null=True, unique=True, editable=False)  # noqa: DJ001
    fingerprint = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the request")
    # It was bought from this cart, which gets its lines back if the order ends unpaid.
    cart = models.ForeignKey(Cart, null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    paid_at = models.DateTimeField(null=True, editable=False)
    held_at = models.DateTimeField(
        null=True, editable=False, help_text="set once, when the fraud check puts it on hold"
    )
    sent_at = models.DateTimeField(
        null=True, editable=False, help_text="set before the first shipment request; its pieces have left the stock"
    )
    charged_at = models.DateTimeField(null=True, editable=False, help_text="when the payment was captured")
    tracking = models.CharField(max_length=40, db_default="", editable=False, help_text="the warehouse's number")
    shipped_at = models.DateTimeField(null=True, editable=False, help_text="when it left, by the warehouse")
    delivered_at = models.DateTimeField(null=True, editable=False, help_text="when it arrived, by the warehouse")
    returned_at = models.DateTimeField(null=True, editable=False, help_text="when the payment was refunded or voided")
    # An older release leaves False and sends no mail: then none is missing.
    ends_by_mail = models.BooleanField(
        db_default=False, editable=False, help_text="it ended unpaid after the customer left, who gets an email"
    )
    # An older release leaves False and makes no credit note: then none is missing.
    credited = models.BooleanField(
        db_default=False, editable=False, help_text="it was cancelled once invoiced, so it gets a credit note"
    )
    points = models.PositiveIntegerField(db_default=0, editable=False, help_text="the loyalty points for this order")
    erased_at = models.DateTimeField(null=True, editable=False, help_text="when its customer was erased: privacy.py")
    learned = models.BooleanField(db_default=False, editable=False, help_text="counted in the recommendations")

    class Meta:
        ordering = ["-created_at", "-number"]
        permissions = [("cancel_order", "Can cancel and refund an order")]
        indexes = [
            models.Index(fields=["created_at"], name="orders_created"),
            models.Index(fields=["created_at"], name="orders_unsettled", condition=models.Q(status="placed")),
            models.Index(fields=["created_at"], name="orders_unerased", condition=models.Q(erased_at=None)),
            models.Index(fields=["user", "-created_at", "-number"], name="orders_of_user"),
            models.Index(Upper("email"), name="orders_email"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(total__gte=0), name="orders_total_not_negative"),
            models.CheckConstraint(condition=models.Q(delivery__gte=0), name="orders_delivery_not_negative"),
            models.CheckConstraint(condition=models.Q(status__in=Status.values), name="orders_status_known"),
            models.CheckConstraint(
                condition=~models.Q(status__in=["paid", "on_hold"]) | models.Q(paid_at__isnull=False),
                name="orders_paid_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.number}"

    @property
    def country_name(self) -> str:
        """Ireland for IE."""
        return countries.name(self.country) or self.country

    def amounts(self) -> list[tuple[Decimal, Decimal]]:
        """Pairs of a VAT rate in per cent and a gross amount. They add up to the total."""
        lines = [(line.vat_rate, line.total) for line in self.lines.all()]
        return lines + [(self.delivery_vat_rate, self.delivery)] * bool(self.delivery)

    @property
    def cancellable(self) -> bool:
        """Whether its customer may cancel it."""
        return self.status in (Status.PAID, Status.ON_HOLD) and self.sent_at is None

    @property
    def reviewable(self) -> bool:
        """Whether its customer may review its products."""
        return self.delivered_at is not None and self.erased_at is None and self.status != Status.CANCELLED

    @property
    def expected_on(self) -> date | None:
        """The promised day, of an order that is neither on hold, nor delivered, nor at its end without a shipment."""
        return self.arrives_on if self.status in (Status.PLACED, Status.PAID) and not self.delivered_at else None

    @property
    def underway(self) -> bool:
        """Whether the warehouse is to report more about it."""
        return self.status == Status.PAID and self.sent_at is not None and self.delivered_at is None

    @property
    def link_lasts_from(self) -> datetime | None:
        """When it was delivered, or ended without a delivery; None before."""
        if self.sent_at is None and self.status not in (Status.DECLINED, Status.CANCELLED):
            return None
        promised = datetime.combine(self.arrives_on, time.max, UTC) if self.sent_at and self.arrives_on else None
        return max(at for at in (self.created_at, self.sent_at, self.returned_at, self.delivered_at, promised) if at)

    @property
    def payment(self) -> str:
        """The truth about the customer's money: reserved, charged, releasing, released, refunding or refunded; "" for
        an order that was never paid. A gateway that answers a void ends "releasing" as either."""
        if self.paid_at is None:
            return ""
        charged = self.charged_at or self.sent_at  # a worker of an older release leaves charged_at empty
        if self.status != Status.CANCELLED:
            return "charged" if charged else "reserved"
        if self.returned_at:
            return "refunded" if charged else "released"
        return "refunding" if charged else "releasing"


class ShipmentEvent(models.Model):
    """What the warehouse reported of an order's shipment. Its own id admits it once."""

    id = models.CharField(primary_key=True, max_length=64)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="shipment_events")
    kind = models.CharField(max_length=20, help_text="shipped or delivered")
    at = models.DateTimeField(help_text="when it happened, by the warehouse")
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.kind}: order {self.order_id}"


class OrderLine(models.Model):
    """One product of an order, with its name and price at that time."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    unit = models.CharField(max_length=30)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    vat_rate = models.DecimalField(max_digits=4, decimal_places=2, help_text="per cent, included in the price")
    quantity = models.PositiveSmallIntegerField()
    # 0 in a line of an older release, which did not count.
    taken = models.PositiveSmallIntegerField(
        db_default=0, editable=False, help_text="pieces counted in the product's `taken`"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="orders_line_product_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="orders_line_quantity_positive"),
            models.CheckConstraint(condition=models.Q(unit_price__gte=0), name="orders_line_price_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"

    @property
    def total(self) -> Decimal:
        return self.unit_price * self.quantity


class LoyaltyAccount(models.Model):
    """A customer's points, one account for each mail address (in lower case)."""

    email = models.EmailField(unique=True)
    points = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.email}: {self.points}"


class Repair(models.Model):
    """A repair of the reconciler, or a finding for staff."""

    class Act(models.TextChoices):
        ENQUEUED = "enqueued", "enqueued"  # its job was missing
        REDONE = "redone", "rerun"  # its job had succeeded without an effect
        FREED = "freed", "freed"  # its job waited for a deleted one
        REPORTED = "reported", "needs review"

    order = models.ForeignKey(Order, null=True, on_delete=models.CASCADE, related_name="repairs")
    key = models.CharField(max_length=200, help_text="of the job, or of the effect")
    act = models.CharField(max_length=10, choices=Act.choices)
    why = models.CharField(max_length=500)
    # NULLs are distinct: a repair may be needed again. A finding is recorded, and mailed, once.
    once = models.CharField(max_length=800, null=True, unique=True, editable=False)  # noqa: DJ001
    mail = models.BigIntegerField(null=True, editable=False, help_text="the mail to staff that lists it")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.key}: {self.get_act_display()}"
