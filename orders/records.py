"""Tables of what leaves and reaches the shop in bulk: exports, accounting batches, payment events, reports."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Export(models.Model):
    """A file for staff, of one kind. `file` is its name in the default storage, "" before and after."""

    class Kind(models.TextChoices):
        ORDERS = "orders", "orders"
        CUSTOMERS = "customers", "customers"
        PRODUCTS = "products", "products"

    class Form(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "Excel"

    kind = models.CharField(max_length=9, choices=Kind.choices)
    form = models.CharField("format", max_length=4, choices=Form.choices)
    since = models.DateField(null=True, blank=True)
    until = models.DateField(null=True, blank=True, help_text="the last day")
    file = models.CharField(max_length=200, blank=True, editable=False)
    rows = models.PositiveIntegerField(null=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    made_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Export {self.pk}"


class AccountingBatch(models.Model):
    """Documents `first` to `last` of one series, as they are sent to the accounting partner under one key.

    A series has no gaps, and its numbers are committed in their order. So `last` is a watermark that misses none.
    """

    class Series(models.TextChoices):
        INVOICES = "invoices", "invoices"
        CREDIT_NOTES = "credit_notes", "credit notes"

    series = models.CharField(max_length=12, choices=Series.choices)
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "accounting batches"
        constraints = [models.UniqueConstraint(fields=["series", "first"], name="orders_accountingbatch_first")]

    def __str__(self) -> str:
        return f"{self.series} {self.first} to {self.last}"


class PaymentEvent(models.Model):
    """What the payment partner reported by webhook. Its own id admits it once."""

    id = models.CharField(primary_key=True, max_length=64)
    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE, related_name="payment_events")
    kind = models.CharField(max_length=20)
    at = models.DateTimeField(help_text="when it happened, by the partner")
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.kind}: order {self.order_id}"


class WeeklyReader(models.Model):
    """A staff member who receives the weekly report."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")

    def __str__(self) -> str:
        return f"Reader {self.pk}"

    @staticmethod
    def may_be(user: Any) -> bool:
        """Whether this user may see sales today."""
        return user.is_active and user.is_staff and user.has_perm("orders.view_order")
