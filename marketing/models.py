"""The tables of subscriptions, campaigns and stock alerts."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from catalog.models import Product
from catalog.text import visible_line
from marketing import content
from notifications.addresses import deliverable


class Subscription(models.Model):
    """What an address subscribed to. Nothing is sent before `confirmed_at`, the second half of the double opt-in."""

    email = models.EmailField(unique=True, validators=[deliverable], help_text="in lower case")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    newsletter = models.BooleanField(default=False)
    digest = models.BooleanField(default=False)
    reminders = models.BooleanField(default=False, help_text="of a cart, and requests for a review")
    time_zone = models.CharField(max_length=64, default="Europe/Dublin", help_text="of the IANA database")
    digest_on = models.DateField(null=True, editable=False, help_text="the local day of the last digest")
    confirmed_at = models.DateTimeField(null=True, editable=False)
    left_at = models.DateTimeField(null=True, editable=False, help_text="when a topic was last left")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="marketing_newsletter", condition=Q(newsletter=True)),
            models.Index(fields=["time_zone", "id"], name="marketing_digest", condition=Q(digest=True)),
        ]

    def __str__(self) -> str:
        return f"Subscription {self.pk}"

    @property
    def person(self) -> str:
        """By it the mail server forgets: see notifications/mail.py."""
        return str(self.user_id or f"s{self.pk}")


class Campaign(models.Model):
    """One newsletter. `after` is the last subscription whose mail is enqueued."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        SCHEDULED = "scheduled", "scheduled"
        SENDING = "sending", "sending"
        PAUSED = "paused", "paused"
        CANCELLED = "cancelled", "cancelled"
        SENT = "sent", "sent"

    subject = models.CharField(max_length=120, validators=[visible_line])
    body = models.TextField(help_text="Markdown")
    bought = models.ForeignKey(  # protected: without it the mail would go to all
        Product, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="Only to subscribers that bought this.",
    )  # fmt: skip
    state = models.CharField(max_length=9, choices=State.choices, default=State.DRAFT, editable=False)
    send_at = models.DateTimeField(null=True, blank=True)
    after = models.BigIntegerField(default=0, editable=False)
    recipients = models.PositiveIntegerField(default=0, editable=False, help_text="counted when it begins")
    # Counted when it has ended. So they outlive the jobs, which are purged.
    sent = models.PositiveIntegerField(db_default=0, editable=False)
    skipped = models.PositiveIntegerField(db_default=0, editable=False, help_text="left before their mail was sent")
    failed = models.PositiveIntegerField(db_default=0, editable=False, help_text="dead letters")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        permissions = [("send_campaign", "Can send, pause and cancel a campaign")]
        constraints = [models.CheckConstraint(
            condition=Q(state__in=["draft", "scheduled", "sending", "paused", "cancelled", "sent"]),
            name="marketing_campaign_state_known",
        )]  # fmt: skip

    def __str__(self) -> str:
        return self.subject

    def clean(self) -> None:
        if self.body and content.empty(self.body):
            raise ValidationError({"body": "This mail would be empty: write some text."})


class StockAlert(models.Model):
    """A person asked for one mail once a product is back. Those who asked first get it first."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="stock_alerts")
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    notified_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["product", "user"], name="marketing_one_alert", condition=Q(notified_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"Stock alert {self.pk}"
