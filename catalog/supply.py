"""The tables of the supplier's synchronisation, and of products that run low."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SupplierItem(models.Model):
    """What the supplier last reported of a product.

    `delivered` is its count of all pieces that it ever delivered. It only grows, so a page that comes twice, or in
    another order, adds nothing. `price` is the supplier's recommended one.
    """

    product = models.OneToOneField("catalog.Product", on_delete=models.CASCADE, primary_key=True, related_name="supply")
    delivered = models.PositiveBigIntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    version = models.PositiveBigIntegerField(help_text="the supplier's number of the change")
    changed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"Supply of product {self.product_id}"


class SyncState(models.Model):
    """How far a synchronisation is: the watermark of the changes that are all written, and the cursor inside a run."""

    name = models.CharField(max_length=40, primary_key=True)
    watermark = models.CharField(max_length=100, blank=True)
    cursor = models.CharField(max_length=200, blank=True, help_text="of the next page of a run that is under way")
    etag = models.CharField(max_length=100, blank=True)
    synced_at = models.DateTimeField(null=True, help_text="when the last run came to its end")

    def __str__(self) -> str:
        return self.name


class LowStock(models.Model):
    """One crossing of Product.LOW_STOCK, from above. It ends when the stock is above again."""

    product = models.ForeignKey("catalog.Product", on_delete=models.CASCADE, related_name="+")
    stock = models.PositiveIntegerField(help_text="when it was noticed")
    since = models.DateTimeField(db_default=Now())
    mailed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product"], condition=Q(ended_at=None), name="catalog_lowstock_open")
        ]

    def __str__(self) -> str:
        return f"Product {self.product_id} since {self.since:%F}"
