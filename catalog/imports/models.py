"""The tables of imports. The rows of a file are staged here once, so that each job reads only its own."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Import(models.Model):
    """One uploaded file of products. `file` is its name in the default storage, "" once it is deleted."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", "waiting for its columns"
        READING = "reading", "being read"
        CHECKED = "checked", "checked"
        APPLYING = "applying", "being applied"
        APPLIED = "applied", "applied"
        CANCELLED = "cancelled", "cancelled"  # rows applied before stay
        UNDOING = "undoing", "being undone"
        UNDONE = "undone", "undone"
        REFUSED = "refused", "refused"  # `reason` says why

    file = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=200, help_text="as it was uploaded")
    state = models.CharField(max_length=9, choices=State.choices, default=State.UPLOADED)
    reason = models.CharField(max_length=300, blank=True)
    options = models.JSONField(default=dict, help_text="encoding, separator, decimal mark, sheet")
    columns = models.JSONField(default=dict, help_text="by field, the number of its column in the file")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    began_at = models.DateTimeField(null=True, help_text="when the present state began, for rate and time left")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Import {self.pk}"


class ImportRow(models.Model):
    """One row of a file, staged. `values` is what is to be written, or empty if `errors` has any.

    `before` holds the values that the product had, null for a new one; `done` says that the row is applied. Both are
    written in the transaction that writes the product, so a repeated job finds its rows done.
    """

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="rows")
    line = models.PositiveIntegerField()
    values = models.JSONField(default=dict)
    errors = models.JSONField(default=list, help_text="pairs of column and sentence")
    product = models.ForeignKey("catalog.Product", null=True, on_delete=models.SET_NULL, related_name="+")
    before = models.JSONField(null=True)
    done = models.BooleanField(db_default=False)

    class Meta:
        ordering = ["of", "line"]
        constraints = [models.UniqueConstraint(fields=["of", "line"], name="catalog_importrow_line")]
        indexes = [
            models.Index(fields=["of", "line"], name="catalog_importrow_wrong", condition=~Q(errors=[])),
            models.Index(fields=["of"], name="catalog_importrow_done", condition=Q(done=True)),
        ]

    def __str__(self) -> str:
        return f"Line {self.line} of import {self.of_id}"
