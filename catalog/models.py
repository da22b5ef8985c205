"""Categories, products, and which products were bought together."""

from decimal import Decimal

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from catalog.imports.models import Import, ImportRow  # noqa: F401 - Django finds models here
from catalog.index import SearchEntry, SearchIndex  # noqa: F401
from catalog.media.models import Media  # noqa: F401
from catalog.pictures import picture_url
from catalog.reviews import Review  # noqa: F401
from catalog.supply import LowStock, SupplierItem, SyncState  # noqa: F401
from catalog.text import plain_line


class Category(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=60, validators=[plain_line])
    position = models.PositiveSmallIntegerField(default=0, help_text="Smaller numbers come first.")

    class Meta:
        ordering = ["position", "name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse('catalog:products')}?category={self.slug}"


class Product(models.Model):
    """`price` is per `unit`, VAT included."""

    LOW_STOCK = 5  # pieces; pages show the number from here down

    slug = models.SlugField(unique=True, help_text="Also the name of its picture.")
    name = models.CharField(max_length=100, validators=[plain_line])
    also_called = models.CharField(
        max_length=200, blank=True, help_text="Other names that the search finds: zucchini, jalapeno."
    )
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, help_text="For one unit, VAT included.")
    vat_rate = models.DecimalField("VAT rate", max_digits=4, decimal_places=2, default=Decimal("5.00"))
    unit = models.CharField(
        max_length=30, default="piece", help_text="kg, piece, bunch, jar …", validators=[plain_line]
    )
    stock = models.IntegerField(default=0)
    taken = models.IntegerField(db_default=0, editable=False, help_text="Pieces in orders that were not put back.")
    active = models.BooleanField(default=True, help_text="Only active products are shown and sold.")
    added_at = models.DateTimeField(db_default=Now(), editable=False)
    was = models.DecimalField(
        "price before the offer", max_digits=8, decimal_places=2, null=True, blank=True,
        help_text="Above the price. Pages show the product as an offer.",
    )  # fmt: skip
    offered_at = models.DateTimeField(null=True, editable=False, help_text="when the offer began, or last changed")
    # An older release searches this column, and the next one drops it: catalog/search has an index of its own.
    search = models.GeneratedField(
        expression=SearchVector("name", weight="A", config="english")
        + SearchVector("name", weight="A", config="simple")
        + SearchVector("also_called", weight="A", config="simple")
        + SearchVector("description", weight="B", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["category__position", "name"]
        indexes = [GinIndex(fields=["search"], name="catalog_product_search")]
        constraints = [
            models.CheckConstraint(
                condition=Q(stock__gte=0),
                name="catalog_product_stock_not_negative",
                violation_error_message="Stock can't be negative.",
            ),
            models.CheckConstraint(
                condition=Q(price__gt=0),
                name="catalog_product_price_positive",
                violation_error_message="The price must be above 0.",
            ),
            models.CheckConstraint(
                condition=Q(was=None) | Q(was__gt=F("price")),
                name="catalog_product_offer_is_cheaper",
                violation_error_message="The price before the offer must be above the price.",
            ),
            models.CheckConstraint(
                condition=Q(vat_rate__gte=0, vat_rate__lt=100),
                name="catalog_product_vat_rate_is_a_percentage",
                violation_error_message="The VAT rate must be at least 0 and below 100 %.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:product", args=[self.slug])

    @property
    def picture(self) -> str:
        return picture_url(self.slug)

    @property
    def available(self) -> int:
        """The pieces that can be bought now."""
        return self.stock if self.active else 0

    @property
    def left(self) -> str:
        """Why no more than `available` can be bought."""
        if not self.active:
            return "no longer available"
        return f"only {self.stock} left" if self.stock else "sold out"

    @property
    def sold_out(self) -> bool:
        return self.stock <= 0

    @property
    def running_low(self) -> bool:
        return 0 < self.stock <= self.LOW_STOCK


class BoughtTogether(models.Model):
    """`count` orders had both products. Each pair has a row in both directions, so one lookup finds it."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="bought_together")
    other = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "bought together"
        constraints = [
            models.UniqueConstraint(fields=["product", "other"], name="catalog_boughttogether_pair"),
            models.CheckConstraint(condition=~Q(product=F("other")), name="catalog_boughttogether_two_products"),
        ]

    def __str__(self) -> str:
        return f"{self.product} with {self.other}"


class HomePage(models.Model):
    """The single row of what the home page shows: home.py."""

    shelves = models.JSONField(default=list)
    picks = models.JSONField(default=list)
    warmed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="catalog_homepage_single")]

    def __str__(self) -> str:
        return f"Home page of {self.warmed_at:%F %R}"
