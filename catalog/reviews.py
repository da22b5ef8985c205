"""Reviews of products by customers who bought them. A page shows one once staff have approved it."""

from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Avg, Count, Q
from django.db.models.functions import Now

from catalog.text import keeps_its_direction

MOST = 5  # stars
SHOWN = 10  # reviews on a product's page, the newest


class Review(models.Model):
    """One order has one of each of its products. It holds no name and no address."""

    product = models.ForeignKey("catalog.Product", on_delete=models.CASCADE, related_name="reviews")
    order = models.BigIntegerField(editable=False, db_index=True, help_text="the order's number")
    stars = models.PositiveSmallIntegerField(choices=[(stars, str(stars)) for stars in range(MOST, 0, -1)])
    text = models.TextField(blank=True, validators=[MaxLengthValidator(1000), keeps_its_direction])
    # NULL until staff have read it.
    shown = models.BooleanField("shown on the product's page", null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["product", "-id"], name="catalog_review_shown", condition=Q(shown=True))]
        constraints = [
            models.UniqueConstraint(fields=["product", "order"], name="catalog_review_once"),
            models.CheckConstraint(condition=Q(stars__gte=1, stars__lte=MOST), name="catalog_review_stars_in_range"),
        ]

    def __str__(self) -> str:
        return f"Review {self.pk}"

    @property
    def row(self) -> str:
        """★★★★☆ for four stars."""
        return "★" * self.stars + "☆" * (MOST - self.stars)


def summary(reviews: "models.QuerySet[Review]") -> dict:
    """The newest approved ones, and the average and number of all approved ones."""
    approved = reviews.filter(shown=True)
    newest = list(approved[:SHOWN])
    return {"newest": newest, **approved.aggregate(stars=Avg("stars"), number=Count("pk"))} if newest else {}
