"""The tables of notices: how a person is reached, and what became of each notice."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from notifications.endpoints.models import Attempt, Delivery, Endpoint, Event  # noqa: F401 - Django finds models here


class Channel(models.TextChoices):
    MAIL = "mail", "email"
    SMS = "sms", "SMS"
    PUSH = "push", "notification in the browser"


class Contact(models.Model):
    """How a person with an account is reached about orders, and when their day begins."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="contact"
    )
    channel = models.CharField(max_length=4, choices=Channel.choices, default=Channel.MAIL)
    phone = models.CharField(max_length=16, blank=True, help_text="E.164, as +353861234567")
    time_zone = models.CharField(max_length=64, default="Europe/Dublin", help_text="of the IANA database")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(channel__in=Channel.values), name="notifications_channel")]

    def __str__(self) -> str:
        return f"Contact {self.pk}"


class PushSubscription(models.Model):
    """One browser of a person, by the address at its push service."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="push_subscriptions")
    endpoint = models.URLField(max_length=1000, unique=True)
    p256dh = models.CharField(max_length=100, help_text="the browser's public key, base64url")
    auth = models.CharField(max_length=40, help_text="the browser's secret, base64url")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Push subscription {self.pk}"


class Notice(models.Model):
    """One event that one person hears of, by one channel at a time. It holds no address and no text.

    `channel` is the one in use: after a failure for good, mail. `provider_id` is the provider's name for the message.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"  # for its job, which may be a dead letter
        ACCEPTED = "accepted", "accepted"  # by the provider or the mail server
        DELIVERED = "delivered", "delivered"  # the provider's receipt says so
        FAILED = "failed", "failed"  # by all channels
        UNWANTED = "unwanted", "no longer wanted"  # decided when it was to be sent

    key = models.CharField(max_length=200, unique=True, help_text="kind and subject: shipped:1001")
    kind = models.CharField(max_length=40)
    about = models.CharField(max_length=100, help_text="an order's number, for example")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="notices")
    channel = models.CharField(max_length=4, choices=Channel.choices, default=Channel.MAIL)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    provider_id = models.CharField(max_length=100, blank=True, db_index=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.key


class Bounce(models.Model):
    """An address that does not exist, by the mail partner's report. No bulk mail is sent to it until that is lifted."""

    address = models.EmailField(unique=True, help_text="in lower case")
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    lifted_at = models.DateTimeField(null=True, editable=False, help_text="the address works again")

    def __str__(self) -> str:
        return f"Bounce {self.pk}"
