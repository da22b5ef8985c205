"""What the SMS and the mail partner report later: receipts and bounces.

An event may come twice, late and in any order. A receipt's change is compare-and-set, and a bounce from before it was
lifted changes nothing. So no id is kept.
"""

from django.conf import settings
from django.core.exceptions import ValidationError

from backroom.inbound.webhooks import Event, Unreadable, receiver
from notifications import bounces, transitions
from notifications.models import Bounce, Channel, Notice

RECEIPTS = {"message.delivered": transitions.confirm, "message.failed": transitions.fall_back}


@receiver(lambda: settings.WEBHOOK_SECRETS["sms"])
def sms(event: Event) -> None:
    """The receipt of one SMS. One of a purged notice, or of an unknown type, changes nothing."""
    if (change := RECEIPTS.get(event.type)) is None:
        return
    key, id = _text(event, "key"), _text(event, "id")
    if notice := Notice.objects.filter(key=key, channel=Channel.SMS, provider_id__in=("", id)).first():
        change(notice)


@receiver(lambda: settings.WEBHOOK_SECRETS["mail"])
def mail(event: Event) -> None:
    """An address at which a mail bounced for good."""
    if event.type != "mail.bounced":
        return
    address, reason = _text(event, "address").lower(), _text(event, "reason")
    try:
        Bounce._meta.get_field("address").run_validators(address)
    except ValidationError:
        raise Unreadable("no address") from None
    short = reason[: Bounce._meta.get_field("reason").max_length]
    bounces.record(address, short, _text(event, "message_id"), event.at)


def _text(event: Event, name: str) -> str:
    value = event.data.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"no text {name}")
    return value
