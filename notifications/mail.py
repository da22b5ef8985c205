"""Sends one mail through the mail server's circuit breaker and rate limit, and sorts the failures.

The limit of SMTP: it has no idempotency key. A worker or connection that dies between the server's "250 accepted" and
our commit sends the mail again: at least once, never zero times. The second mail has the same Message-ID. Most
mailboxes then show it once, and ours counts it.
"""

import re
import smtplib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from backroom import Permanent
from backroom.observe.context import of_call
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable, PartnerUnreachable, RequestDeferred

# Seconds for which a mail that a person expects may wait at the rate limit. Campaign mails take a later slot instead,
# so an urgent mail passes all of them.
URGENT = 1.0
CLOSING = 421  # RFC 5321: the server ends the connection, whatever the command
STEPS = 9  # SMTP replies: connect, banner, greeting, login (two), sender, recipient, data, content


class MailUnavailable(PartnerUnavailable):
    """The mail server is slow or answers 4xx: retry."""


class RecipientDeferred(RequestDeferred):
    """The mail server answers 4xx about this recipient: greylisted, or a full mailbox. Retry."""


def send(
    key: str,
    to: str,
    subject: str,
    template: str,
    context: dict[str, Any],
    attachments: Sequence[tuple[str, bytes, str]] = (),
    patience: float = 0.0,
    headers: Mapping[str, str] | None = None,
    person: str = "",
) -> None:
    """Send the mail of this key ("receipt:1001") to one address.

    `template` is a path without suffix; its .txt and .html are rendered with `context`. An attachment is a file name,
    its content and its media type. `patience` is 0, or URGENT if a person expects the mail. By `person`, the id of a
    user or `s` and that of a subscription, the mail server forgets them later. Each SMTP reply may take
    settings.EMAIL_TIMEOUT seconds. Raises Away if the breaker is open, the rate limit is reached, or the connection or
    login fails; RecipientDeferred or MailUnavailable for other failures worth a retry; Permanent if the server rejects
    this mail, or its address or subject would break out of a header.
    """
    mail = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string(f"{template}.txt", context),
        to=[to],
        attachments=list(attachments),
        headers={
            "Message-ID": message_id(key),
            "Auto-Submitted": "auto-generated",
            **({"X-Person": person} if person else {}),
            **(headers or {}),
        },
    )
    mail.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    lease = STEPS * settings.EMAIL_TIMEOUT + patience
    with breaker.guard("mail", key, lease, patience), of_call("mail", "send"):
        _deliver(mail)


def message_id(key: str) -> str:
    """receipt:1001 as <receipt.1001@backroom.example>, with the sender's domain."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{key.replace(':', '.', 1)}@{domain}>"


def key_of(message_id: str) -> str:
    """receipt:1001 of <receipt.1001@backroom.example>; no key of ours for another one."""
    return message_id.strip("<>").partition("@")[0].replace(".", ":", 1)


def _deliver(mail: EmailMultiAlternatives) -> None:
    """Each mail opens its own connection: the server closes an idle one, and the next mail would fail.

    Errors quote the server's reply without the address, as they reach the ledger and Flower.
    """
    mail.connection = _connect()
    try:
        sent = mail.send()
    except ValueError as error:  # Django's error for a line break in a header or an invalid address
        raise Permanent(f"the mail can't be written: {type(error).__name__}") from None
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        later = MailUnavailable if code == CLOSING else RecipientDeferred
        raise _rejected(code, reply, mail.to[0], later) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _rejected(error.smtp_code, error.smtp_error, mail.to[0]) from None
    except OSError as error:  # of the network or of SMTP
        raise MailUnavailable(f"the mail server is not available: {type(error).__name__}") from error
    finally:
        with suppress(OSError):  # the outcome of the mail does not depend on it
            mail.connection.close()
    if not sent:
        raise Permanent("the mail has no recipient")


def _connect() -> BaseEmailBackend:
    """An open connection, logged in. A failure here is never the mail's fault, so it uses no attempt."""
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:
        raise PartnerUnreachable(f"the mail server is not reachable: {type(error).__name__}") from error
    return connection


def _rejected(code: int, reply: bytes | str, to: str, later: type[Exception] = MailUnavailable) -> Exception:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    kind = Permanent if 500 <= code <= 599 else later
    for part in to, to.rpartition("@")[0]:  # servers also quote the part before the @ alone
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "the recipient", text, flags=re.IGNORECASE)
    return kind(f"the mail server answered {code} {text}")
