"""Orders, their lines, invoices and loyalty points: what this room keeps in the database.

A status changes only by compare-and-set (`filter(number=…, status=<from>).update(status=<to>)`), so of two
processes that want to change it one does and the other sees that it came too late. Money is gross, VAT included.
"""

import secrets
from decimal import Decimal
from urllib.parse import urlencode

from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django_countries import countries

from catalog.models import Product


def new_token() -> str:
    """What lets a guest see an order: 192 random bits, fit for an address."""
    return secrets.token_urlsafe(24)


class Status(models.TextChoices):
    """Every status of an order, named once."""

    PLACED = "placed", "placed"  # stock is reserved, the payment not yet known
    PAID = "paid", "paid"  # the money is reserved, and taken before anything is sent
    ON_HOLD = "on_hold", "on hold"  # paid, but a person must look before the money is taken and anything is sent
    DECLINED = "declined", "declined"  # the card was refused; stock went back
    CANCELLED = "cancelled", "cancelled"  # given up; with a paid_at: after it was paid, and the money goes back


class Order(models.Model):
    """What one customer bought at one time. The number is what people read out on the phone; it starts at 1001."""

    number = models.BigAutoField(primary_key=True)
    token = models.CharField(max_length=43, default=new_token, editable=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLACED)
    email = models.EmailField()
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=200)
    city = models.CharField(max_length=100)
    postcode = models.CharField(max_length=16)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    total = models.DecimalField(max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3)
    # NULLs don't collide: an order of which nobody said a key is never taken for another's repetition.
    idempotency_key = models.CharField(max_length=100, null=True, unique=True, editable=False)  # noqa: DJ001
    fingerprint = models.CharField(max_length=64, editable=False, help_text="SHA-256 of what was asked for")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    paid_at = models.DateTimeField(null=True, editable=False)
    held_at = models.DateTimeField(null=True, editable=False, help_text="when the safety check put it on hold: once")
    sent_at = models.DateTimeField(
        null=True, editable=False, help_text="when the warehouse was first asked; its pieces are not ours any more"
    )
    returned_at = models.DateTimeField(null=True, editable=False, help_text="when the bank gave the money back")
    # False is also what an old release leaves behind, which mails nobody: no mail is missed there.
    ends_by_mail = models.BooleanField(
        db_default=False, editable=False, help_text="it ended unpaid behind its customer's back, who is mailed so"
    )
    points = models.PositiveIntegerField(db_default=0, editable=False, help_text="that its customer has for it")
    learned = models.BooleanField(db_default=False, editable=False, help_text="its pairs are in the recommendations")

    class Meta:
        ordering = ["-number"]
        permissions = [("cancel_order", "Can cancel an order and give the money back")]
        indexes = [
            models.Index(fields=["created_at"], name="orders_created"),
            models.Index(fields=["created_at"], name="orders_unsettled", condition=models.Q(status="placed")),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(total__gte=0), name="orders_total_not_negative"),
            models.CheckConstraint(condition=models.Q(status__in=Status.values), name="orders_status_known"),
            models.CheckConstraint(
                condition=~models.Q(status__in=["paid", "on_hold"]) | models.Q(paid_at__isnull=False),
                name="orders_paid_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.number}"

    def get_absolute_url(self) -> str:
        return self.address_of("orders:order")

    @property
    def country_name(self) -> str:
        """Ireland for IE."""
        return countries.name(self.country) or self.country

    @property
    def timeline_url(self) -> str:
        return self.address_of("orders:timeline")

    @property
    def invoice_url(self) -> str:
        return self.address_of("orders:invoice")

    def admits(self, token: str) -> bool:
        """Whether `token` opens this order. Takes the same time for any wrong one."""
        return secrets.compare_digest(self.token.encode(), token.encode("utf-8", "surrogatepass"))

    def address_of(self, view: str) -> str:
        """The path, with its token, of one of the order's pages: order, timeline or invoice."""
        return f"{reverse(view, args=[self.number])}?{urlencode({'token': self.token})}"


class OrderLine(models.Model):
    """One product of an order, as it was named and priced when it was bought."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    unit = models.CharField(max_length=30)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    vat_rate = models.DecimalField(max_digits=4, decimal_places=2, help_text="per cent, included in the price")
    quantity = models.PositiveSmallIntegerField()
    # 0 of a line of a release that did not count them yet.
    taken = models.PositiveSmallIntegerField(
        db_default=0, editable=False, help_text="of these, so many are counted in the product's `taken`"
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


class Invoice(models.Model):
    """The invoice of one order, as the customer got it: made once and kept."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, primary_key=True, related_name="invoice")
    pdf = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Invoice {self.order_id}"


class LoyaltyAccount(models.Model):
    """A customer's points, one account for each mail address (in lower case)."""

    email = models.EmailField(unique=True)
    points = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.email}: {self.points}"


class Repair(models.Model):
    """What the reconciler put right, or found and left to a person."""

    class Act(models.TextChoices):
        ENQUEUED = "enqueued", "enqueued"  # its job was missing
        REDONE = "redone", "run again"  # its job had succeeded without its effect
        FREED = "freed", "freed"  # its job waited for one that is gone
        REPORTED = "reported", "for a person"

    order = models.ForeignKey(Order, null=True, on_delete=models.CASCADE, related_name="repairs")
    key = models.CharField(max_length=200, help_text="of the job, or of the effect")
    act = models.CharField(max_length=10, choices=Act.choices)
    why = models.CharField(max_length=500)
    # NULLs don't collide: most repairs may be needed again. A finding is written down, and mailed, once.
    once = models.CharField(max_length=800, null=True, unique=True, editable=False)  # noqa: DJ001
    mail = models.BigIntegerField(null=True, editable=False, help_text="the mail to staff in which it stands")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.key}: {self.get_act_display()}"
