"""The table of pictures and clips. Their files are in the storage `media`; the row alone says which are published."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from catalog.text import keeps_its_direction


class Media(models.Model):
    """One picture or clip of a product.

    `original` is the uploaded file's name in the storage. Each step adds what it made to `made`, and publishing copies
    it to `files` in one UPDATE: a page shows all of a picture, or none. A file that no row names is an orphan.
    """

    class Kind(models.TextChoices):
        PICTURE = "picture", "picture"
        CLIP = "clip", "clip"

    class State(models.TextChoices):
        WAITING = "waiting", "being made"  # for a step's job, which may be a dead letter
        PUBLISHED = "published", "published"
        REFUSED = "refused", "refused"  # `reason` says why
        CANCELLED = "cancelled", "cancelled"

    product = models.ForeignKey("catalog.Product", on_delete=models.CASCADE, related_name="media")
    kind = models.CharField(max_length=7, choices=Kind.choices, default=Kind.PICTURE)
    position = models.PositiveSmallIntegerField(default=0, help_text="Smaller numbers come first.")
    alt = models.CharField(
        "description", max_length=200, blank=True, validators=[keeps_its_direction],
        help_text="What it shows, for those who don't see it.",
    )  # fmt: skip
    original = models.CharField(max_length=200, editable=False)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING, editable=False)
    reason = models.CharField(max_length=300, blank=True, editable=False)
    width = models.PositiveIntegerField(null=True, editable=False)
    height = models.PositiveIntegerField(null=True, editable=False)
    seconds = models.FloatField(null=True, editable=False)
    colour = models.CharField(max_length=7, blank=True, editable=False, help_text="the dominant one, #rrggbb")
    placeholder = models.TextField(blank=True, editable=False, help_text="a blurred miniature, as a data: URI")
    made = models.JSONField(default=dict, editable=False, help_text="by step, so far")
    files = models.JSONField(default=list, editable=False, help_text="the published ones: type, width, height, name")
    # It serves until this one is published, in whose transaction its row is deleted.
    replaces = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["position", "id"]
        verbose_name_plural = "media"
        indexes = [models.Index(fields=["product"], name="catalog_media_published", condition=Q(state="published"))]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"
