"""The kinds of notices, one entry each: what a person may hear of, and by which channels.

A new kind is one entry here and one function, `compose`, that the entry names: this room knows no order. A request
enqueues a notice without importing it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backroom import Retry
from notifications.models import Channel

PATIENT = Retry(attempts=16, first=2, cap=1800)  # about three hours: longer than most outages of a partner
PROMPT = Retry(attempts=200, first=2, cap=60)  # the kind's patience ends it first
ALL = (Channel.MAIL, Channel.SMS, Channel.PUSH)


@dataclass(frozen=True)
class Kind:
    """One kind. The key of a notice, and of its effect, is `<name>:<about>`.

    `compose` is the dotted path of `(about: str, user: User | None) -> Message | None`. It runs when the notice is
    sent. None: it is no longer wanted, and nothing is sent. The user of a guest, or of a deleted account, is None.
    """

    name: str
    compose: str
    channels: tuple[Channel, ...] = ALL  # the person's choice, if it is one of these; else mail
    urgent: bool = False  # a person waits for it
    patience: timedelta = timedelta(minutes=10)  # then mail takes over from a channel that has not accepted it

    @property
    def queue(self) -> str:
        return "critical" if self.urgent else "default"


@dataclass(frozen=True)
class Message:
    """What a notice says. `template` and `context` make the mail, as in mail.send; `short`, at most 140 characters, is
    the text of the SMS and in the browser, followed by `url`. Both are free of personal data, as others carry them, and
    the same in each attempt: a provider refuses its key with another text, and mail takes over."""

    to: str
    subject: str
    template: str
    context: dict[str, Any]
    short: str
    url: str
    attachments: Sequence[tuple[str, bytes, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


KINDS: tuple[Kind, ...] = (
    Kind("shipped", "orders.fulfilment.notices.shipped"),
    Kind("delivered", "orders.fulfilment.notices.delivered"),
    Kind("back_in_stock", "marketing.stock_alerts.back_in_stock"),
    Kind("endpoint_off", "notifications.endpoints.notices.switched_off", channels=(Channel.MAIL,)),
)


def named(name: str) -> Kind:
    """Raises LookupError for an unknown kind."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise LookupError(f"notifications/kinds.py has no kind {name!r}")
