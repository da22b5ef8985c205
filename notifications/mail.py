"""Sending one mail, through the mail server's gate, with failures sorted into those that pass and those that don't.

The limit of what SMTP can promise: it knows no idempotency key. A worker that dies (or a line that breaks)
in the instant between the server's "250 accepted" and our commit sends the mail again: at least once, never
not at all. The second one carries the same Message-ID, by which most mailboxes recognise it and ours is
counted.
"""

import re
import smtplib
from collections.abc import Sequence
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
from backroom.outbound.errors import PartnerUnavailable, PartnerUnreachable

# Seconds for which a mail that a person waits for waits for its turn at the gate. A campaign's mails don't wait there,
# they take an appointment; so whoever waits, if only for a moment, is before all of them.
URGENT = 1.0
STEPS = 9  # of the conversation: connect, banner, greeting, login in two, sender, recipient, data, content


class MailUnavailable(PartnerUnavailable):
    """The mail server is slow, or says "not now": worth another try."""


def send(
    key: str,
    to: str,
    subject: str,
    template: str,
    context: dict[str, Any],
    attachments: Sequence[tuple[str, bytes, str]] = (),
    patience: float = 0.0,
) -> None:
    """Send the mail that `key` names ("receipt:1001") to one address.

    `template` is a path without ending: its .txt and .html are both rendered with `context`. An attachment
    is a file name, its content, its media type. `patience`: 0, or URGENT where a person waits. Each step of the
    conversation may take settings.EMAIL_TIMEOUT seconds. Raises Away where the server is not to be asked now, or does
    not speak to us; MailUnavailable for what else may pass; Permanent when it refuses this mail, and for an address or
    subject that would break out of its header.
    """
    mail = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string(f"{template}.txt", context),
        to=[to],
        attachments=list(attachments),
        headers={"Message-ID": message_id(key), "Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    lease = STEPS * settings.EMAIL_TIMEOUT + patience
    with breaker.guard("mail", key, lease, patience), of_call("mail", "send"):
        _deliver(mail)


def message_id(key: str) -> str:
    """receipt:1001 as <receipt.1001@backroom.example>, the domain being the sender's."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{key.replace(':', '.', 1)}@{domain}>"


def _deliver(mail: EmailMultiAlternatives) -> None:
    """One connection for each mail: a kept one is closed by the server while idle, and the next mail would
    fail for nothing. That costs a few milliseconds that no customer waits for.

    The errors say what the server said, without the address: they end up in the ledger and in Flower.
    """
    mail.connection = _connect()
    try:
        sent = mail.send()
    except ValueError as error:  # Django's word for a line break in a header, or an address it can't read
        raise Permanent(f"the mail can't be written: {type(error).__name__}") from None
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        raise _refused(code, reply, mail.to[0]) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _refused(error.smtp_code, error.smtp_error, mail.to[0]) from None
    except OSError as error:  # of the network or of SMTP
        raise MailUnavailable(f"the mail server is not available: {type(error).__name__}") from error
    finally:
        _hang_up(mail.connection)
    if not sent:
        raise Permanent("the mail has nobody to go to")


def _connect() -> BaseEmailBackend:
    """An open connection, logged in. What goes wrong until then can't be the mail's fault."""
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:
        raise PartnerUnreachable(f"the mail server does not speak to us: {type(error).__name__}") from error
    return connection


def _hang_up(connection: BaseEmailBackend) -> None:
    """Say goodbye. Whatever goes wrong now, the mail is with the server or is not."""
    with suppress(OSError):
        connection.close()


def _refused(code: int, reply: bytes | str, to: str) -> Exception:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    kind = Permanent if 500 <= code <= 599 else MailUnavailable
    for part in to, to.rpartition("@")[0]:  # the whole, or what stands before the @; in whichever case
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "the recipient", text, flags=re.IGNORECASE)
    return kind(f"the mail server said {code} {text}")
