"""A subscription follows its account: a verified address, its change, and the time zone."""

from typing import Any

from allauth.account import signals
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from marketing.models import Subscription
from notifications.models import Contact


@receiver(signals.email_confirmed)
def join(email_address: EmailAddress, **_: Any) -> None:
    """A guest's subscription belongs to the account that verifies its address."""
    Subscription.objects.filter(email=email_address.email.lower()).update(user=email_address.user)


@receiver(signals.email_changed)
def move(user: User, to_email_address: EmailAddress, **_: Any) -> None:
    """What the account chose goes on at the new address, in place of what a guest chose there."""
    email = to_email_address.email.lower()
    with transaction.atomic():
        others = Subscription.objects.select_for_update().filter(user=user).exclude(email=email).order_by("pk")
        if mine := others.first():
            Subscription.objects.filter(email=email).delete()
            Subscription.objects.filter(pk=mine.pk).update(email=email)


@receiver(post_save, sender=Contact)
def keep_time(instance: Contact, **_: Any) -> None:
    """The digest comes at the midnight of the account's time zone."""
    Subscription.objects.filter(user=instance.pk).update(time_zone=instance.time_zone)
