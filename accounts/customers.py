"""Customers by their address: people with an account who are no staff."""

from datetime import timedelta

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from accounts.models import FormerAddress
from backroom.ledger.models import Job

KEPT = timedelta(days=1)  # for a sign-up that is never verified; its link lasts minutes


def address_of(email: str) -> EmailAddress | None:
    """The address by which a person signs in, with its user.

    A sign-up takes any address, so several accounts may have one that none of them verified; the newest counts. The
    address that an account is to change to does not count.
    """
    found = EmailAddress.objects.filter(
        email=email.lower(), primary=True, user__is_staff=False, user__is_active=True
    )  # fmt: skip
    return found.select_related("user").order_by("-verified", "-pk").first()


def delete_unverified() -> int:
    """Delete the accounts whose address was never verified; how many."""
    addresses = EmailAddress.objects.filter(user=OuterRef("pk"))
    old = User.objects.filter(
        Exists(addresses), ~Exists(addresses.filter(verified=True)),
        is_staff=False, last_login=None, date_joined__lt=timezone.now() - KEPT,
    )  # fmt: skip
    deleted = 0
    for pk in old.values_list("pk", flat=True):
        with transaction.atomic():
            user = User.objects.select_for_update().filter(pk=pk).first()
            if user and old.filter(pk=pk).exists():  # asked again under the lock: a link may verify it meanwhile
                user.delete()
                deleted += 1
    return deleted


def delete_former_addresses() -> int:
    """Delete the former addresses whose mail was cancelled, once its job is purged; how many. A dead letter keeps its
    address: a person may replay it."""
    key = Concat(Value("address-changed:"), Cast(OuterRef("pk"), CharField()))
    return FormerAddress.objects.filter(~Exists(Job.objects.filter(key=key))).delete()[0]
