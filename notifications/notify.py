"""The one call by which the rest of the shop tells a person something."""

from django.contrib.auth.models import User
from django.db import transaction

from notifications import transitions
from notifications.kinds import Kind, named
from notifications.models import Channel, Contact, Notice


def notify(user: User | None, kind: str, *, about: str) -> None:
    """Tell a person of an event, once: in the caller's transaction, a notice and the job that sends it.

    `about` is an id, as the number of an order; a guest's user is None. Another call of the same kind and `about` does
    nothing, whatever became of the first. Raises LookupError for an unknown kind.

    Race: two calls at once. The second waits at the unique key for the first's transaction, then finds its notice.
    """
    entry = named(kind)
    with transaction.atomic():
        notice, new = Notice.objects.get_or_create(
            key=f"{kind}:{about}",
            defaults={"kind": kind, "about": about, "user": user, "channel": _channel(user, entry)},
        )
        if new:
            transitions.enqueue(notice)


def _channel(user: User | None, kind: Kind) -> Channel:
    """The person's choice, if the kind has it and the person can be reached by it."""
    contact = Contact.objects.filter(user=user).first() if user else None
    if contact is None or contact.channel not in kind.channels:
        return Channel.MAIL
    reached = {Channel.SMS: bool(contact.phone), Channel.PUSH: contact.user.push_subscriptions.exists()}
    return Channel(contact.channel) if reached.get(Channel(contact.channel)) else Channel.MAIL
