"""The tables of webhooks out."""

from base64 import b64encode
from datetime import datetime
from secrets import token_bytes

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


def new_secret() -> str:
    """As Standard Webhooks writes it, and its libraries read it."""
    return f"whsec_{b64encode(token_bytes(32)).decode()}"


class Endpoint(models.Model):
    """An address of a customer's own system. `secret` signs what it gets, `former_secret` too for a day."""

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        PAUSED = "paused", "paused"  # by its owner; events wait
        OFF = "off", "switched off"  # it failed for days, or answered 410; its deliveries are cancelled

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="endpoints")
    url = models.URLField(max_length=500)
    secret = models.CharField(max_length=100, editable=False, default=new_secret)
    former_secret = models.CharField(max_length=100, editable=False, db_default="")
    former_until = models.DateTimeField(null=True, editable=False)
    events = ArrayField(models.CharField(max_length=40), default=list, blank=True, help_text="types; empty is all")
    in_order = models.BooleanField(
        "strictly in order", default=False, help_text="An event that fails holds up the later ones until we give it up."
    )
    state = models.CharField(max_length=6, choices=State.choices, default=State.ACTIVE, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Endpoint {self.pk}"

    def chose(self, type: str) -> bool:
        return not self.events or type in self.events

    def secrets(self, now: datetime) -> list[str]:
        """Those that sign at this time: while the owner changes it, both."""
        former = self.former_until and now < self.former_until
        return [self.secret, self.former_secret] if former else [self.secret]


class Event(models.Model):
    """One event of a person's business. `data` holds ids and states, no personal data."""

    id = models.CharField(primary_key=True, max_length=40, help_text="the webhook-id of all its deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    type = models.CharField(max_length=40, help_text="as order.shipped")
    about = models.CharField(max_length=100, help_text="an order's number, for example")
    data = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["type", "about"], name="notifications_event_once")]
        indexes = [models.Index(fields=["at"], name="notifications_event_at")]

    def __str__(self) -> str:
        return f"{self.type} {self.about}"


class Delivery(models.Model):
    """One event for one endpoint. Its job is `webhook:<id>-<round>`; a replay begins another round."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    round = models.PositiveIntegerField(db_default=1)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["event", "endpoint"], name="notifications_delivery_once")]
        indexes = [
            models.Index(fields=["endpoint"], name="notifications_delivery_waiting", condition=Q(state="waiting"))
        ]

    def __str__(self) -> str:
        return f"Delivery {self.pk}"


class Attempt(models.Model):
    """One request to an endpoint, and what came back."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(db_default=Now())
    milliseconds = models.PositiveIntegerField()
    request = models.TextField(help_text="its headers and body, without the signature's secret")
    status = models.PositiveSmallIntegerField(null=True, help_text="null: no answer came")
    answer = models.TextField(blank=True, help_text="its first 1,000 characters")
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Attempt {self.pk}"
