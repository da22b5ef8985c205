"""Addresses at which mail bounced for good. Bulk mail spares them; staff delete one that works again."""

from notifications import mail, transitions
from notifications.models import Bounce, Channel, Notice


def bounced(address: str) -> bool:
    """Whether a mail to this address has bounced for good."""
    return Bounce.objects.filter(address=address.lower()).exists()


def record(address: str, reason: str, message_id: str) -> None:
    """A mail bounced for good. The notice that it was, if it was one, has failed."""
    Bounce.objects.get_or_create(address=address.lower(), defaults={"reason": reason})
    if notice := Notice.objects.filter(key=mail.key_of(message_id), channel=Channel.MAIL).first():
        transitions.fail(notice)
