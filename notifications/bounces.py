"""Addresses at which mail bounced for good. Bulk mail spares them until staff or a confirmation lift that.

The row stays then: the partner may report the same bounce again, and one from before counts no more.
"""

from datetime import datetime

from django.db.models import QuerySet
from django.db.models.functions import Now

from notifications import mail, transitions
from notifications.models import Bounce, Channel, Notice


def bounced(address: str) -> bool:
    """Whether a mail to this address has bounced for good."""
    return standing().filter(address=address.lower()).exists()


def standing() -> QuerySet[Bounce]:
    """Those that are not lifted."""
    return Bounce.objects.filter(lifted_at=None)


def lift(found: QuerySet[Bounce]) -> None:
    """These addresses work again."""
    found.update(lifted_at=Now())


def record(address: str, reason: str, message_id: str, at: datetime) -> None:
    """A mail bounced for good, then. The notice that it was, if it was one, has failed."""
    Bounce.objects.get_or_create(address=address.lower(), defaults={"reason": reason})
    Bounce.objects.filter(address=address.lower(), lifted_at__lt=at).update(reason=reason, lifted_at=None)
    if notice := Notice.objects.filter(key=mail.key_of(message_id), channel=Channel.MAIL).first():
        transitions.fail(notice)
