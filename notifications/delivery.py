"""Sends one notice by one channel. transitions.py has what becomes of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from django.utils import timezone
from django.utils.module_loading import import_string

from backroom import Permanent, RetryAfter
from backroom.outbound.errors import PartnerUnavailable
from notifications import mail, push, sms, transitions
from notifications.kinds import Kind, Message, named
from notifications.models import Channel, Contact, Notice


def send(notice_id: int, channel: Channel) -> None:
    """Send a notice that waits on this channel. It does nothing for one that has moved on, and drops one that is no
    longer wanted.

    SMS and browser never end as a dead letter: once they fail for good, or would come too late, mail takes over. The
    limit: an SMS whose acceptance we never learn is followed by the mail.
    """
    notice = Notice.objects.select_related("user").filter(pk=notice_id).first()
    if notice is None or notice.channel != channel or notice.state not in transitions.TO_SEND:
        return
    kind = named(notice.kind)
    message: Message | None = import_string(kind.compose)(notice.about, notice.user)
    if message is None:
        return transitions.drop(notice)
    try:
        provider_id = SENDERS[channel](notice, message, kind)
    except (Permanent, RetryAfter, PartnerUnavailable) as error:
        return _failed(notice, kind, error)
    transitions.accept(notice, provider_id)


def _failed(notice: Notice, kind: Kind, error: Exception) -> None:
    """Let mail take over, or raise the error again: then the job is retried, or a dead letter."""
    if notice.channel == Channel.MAIL:
        if isinstance(error, Permanent):
            transitions.fail(notice)
        raise error
    again = timezone.now() + timedelta(seconds=getattr(error, "seconds", 0))
    if not isinstance(error, Permanent) and again < notice.created_at + kind.patience:
        raise error
    transitions.fall_back(notice, [Notice.State.WAITING])


def _by_mail(notice: Notice, message: Message, kind: Kind) -> str:
    mail.send(
        key=notice.key,
        to=message.to,
        subject=message.subject,
        template=message.template,
        context=message.context,
        attachments=message.attachments,
        patience=mail.URGENT if kind.urgent else 0,
        headers=message.headers,
        person=str(notice.user_id or ""),
    )
    return mail.message_id(notice.key)


def _by_sms(notice: Notice, message: Message, kind: Kind) -> str:
    phone = Contact.objects.filter(user=notice.user_id).values_list("phone", flat=True).first()
    if not phone:
        raise Permanent("the person has no phone number any more")
    return sms.send(notice.key, phone, f"{message.short} {message.url}", str(notice.user_id))


def _by_push(notice: Notice, message: Message, kind: Kind) -> str:
    if notice.user is None:
        raise Permanent("the account is deleted")
    push.send(notice.key, notice.user, message.subject, message.short, message.url)
    return ""  # a push service sends no receipt


SENDERS: Mapping[str, Callable[[Notice, Message, Kind], str]] = {
    Channel.MAIL: _by_mail,
    Channel.SMS: _by_sms,
    Channel.PUSH: _by_push,
}
