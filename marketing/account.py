"""A subscription follows its account: a verified address, its change, and the time zone."""

from typing import Any

from allauth.account import signals
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save
from django.dispatch import receiver

from marketing.models import Subscription
from marketing.subscriptions import TOPICS
from notifications.models import Contact


@receiver(signals.email_confirmed)
def join(email_address: EmailAddress, **_: Any) -> None:
    """A guest's subscription belongs to the account that verifies its address."""
    Subscription.objects.filter(email=email_address.email.lower()).update(user=email_address.user)


@receiver(signals.email_changed)
def move(user: User, to_email_address: EmailAddress, **_: Any) -> None:
    """What the account chose goes on at the new address, in place of what a guest chose there. The guest's row stays:
    by its id that mailbox gets no campaign or digest again."""
    email = to_email_address.email.lower()
    with transaction.atomic():
        mine, there = _locked(user=user).exclude(email=email).first(), _locked(email=email).first()
        if mine and there:
            days = [each.digest_on for each in (mine, there) if each.digest_on]
            chosen = {name: getattr(mine, name) for name in (*TOPICS, "time_zone", "confirmed_at")}
            mine.delete()
            Subscription.objects.filter(pk=there.pk).update(user=user, digest_on=max(days, default=None), **chosen)
        elif mine:
            Subscription.objects.filter(pk=mine.pk).update(email=email)


def _locked(**which: Any) -> QuerySet[Subscription]:
    return Subscription.objects.select_for_update().filter(**which).order_by("pk")


@receiver(post_save, sender=Contact)
def keep_time(instance: Contact, **_: Any) -> None:
    """The digest comes at the midnight of the account's time zone."""
    Subscription.objects.filter(user=instance.pk).update(time_zone=instance.time_zone)
