"""The mail server. It keeps every mail it answered with 250, and counts them by the key in their Message-ID.

SMTP has no idempotency: a mail sent twice is received twice. That is why mails are counted, not deduplicated.
"""

import asyncio
import logging
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import AnyStr, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from partners.fault_injection import trickle
from partners.faults import Partner
from partners.store import Store, moment

LARGEST = 25 * 1024 * 1024  # bytes
KEPT = 5000  # so many of the newest mails keep their content
log = logging.getLogger(__name__)
MESSAGE_ID = re.compile(r"<([a-z][a-z_-]*)\.([^@\s]+)@[^@\s]+>")


class MailServer:
    """Makes the protocol of each connection, and handles what arrives on it."""

    def __init__(self, store: Store, partner: Partner) -> None:
        self.store = store
        self.partner = partner

    def connect(self) -> asyncio.Protocol:
        """The protocol for a new connection: SMTP, or nobody there."""
        self.partner.connections += 1
        if self.partner.faults.down:
            return Closed()
        loop = asyncio.get_running_loop()
        return Server(self, data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="localhost", loop=loop)

    async def handle_DATA(self, server: "Server", session: Session, envelope: Envelope) -> str:
        """Take a mail, as the fault switches allow; the answer to its sender."""
        self.partner.requests += 1
        faults = self.partner.faults
        if faults.down:  # on a connection older than the switch
            return "421 The mail server is down because its fault switches say so"
        if faults.hang:
            await asyncio.Event().wait()  # cancelled when the client goes
        await asyncio.sleep(faults.latency_ms / 1000)
        status = faults.failure(451)
        if status:
            return f"{status} The mail server fails because its fault switches say so"
        keep(self.store, envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b"")
        if faults.accept_then_fail:
            return "451 The mail is kept and this is a failure, because the fault switches say so"
        if faults.garbage:
            return "Have a nice day"
        if faults.truncate:
            server.line.write(b"25")
            server.line.write_eof()
            await asyncio.Event().wait()
        return "250 OK"

    async def handle_exception(self, error: Exception) -> str:
        """A mistake of ours is no reason to give a mail up."""
        log.error("a mail was not kept", exc_info=error)
        return "451 The mail server itself went wrong; its log says more"


class Server(SMTP):
    """SMTP that speaks as slowly as the fault switches say."""

    @property
    def line(self) -> asyncio.Transport:
        """The connection."""
        return cast(asyncio.Transport, self.transport)

    async def push(self, status: AnyStr) -> None:
        """Send one reply."""
        faults = self.event_handler.partner.faults
        if not faults.trickle_ms:
            return await super().push(status)
        text = status.encode() if isinstance(status, str) else status
        await trickle(self.line, text + b"\r\n", faults.trickle_ms)


class Closed(asyncio.Protocol):
    """A connection that ends as it begins."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close at once."""
        transport.close()


def keep(store: Store, sender: str, recipients: list[str], raw: bytes) -> None:
    """Record a mail and its effect together; the content of the oldest one beyond `KEPT` goes."""
    message = message_from_bytes(raw, policy=policy.default)
    kind, key, order = key_of(header(message, "Message-ID"))
    subject = header(message, "Subject")
    with store.transaction():
        store.execute(
            "INSERT INTO mails (at, sender, recipients, subject, size, raw) VALUES (?, ?, ?, ?, ?, ?)",
            (moment(), printable(sender), printable(", ".join(recipients)), subject, len(raw), raw),
        )
        store.execute("UPDATE mails SET raw = NULL WHERE id = last_insert_rowid() - ?", (KEPT,))
        store.happened("mail", kind, key, order)


def key_of(message_id: str) -> tuple[str, str, str]:
    """Kind, key and order of `<receipt.1001@…>`; a mail without such a Message-ID is of the kind `mail`."""
    match = MESSAGE_ID.fullmatch(message_id.strip())
    if match is None:
        return "mail", "", ""
    kind, rest = match.groups()
    return kind, f"{kind}:{rest}", rest if rest.isdigit() else ""


def header(message: EmailMessage, name: str) -> str:
    """One header as text, "" where it is missing or beyond reading."""
    try:
        return printable(str(message[name] or ""))
    except Exception:  # the parser raises errors of any kind on headers made to break it
        return ""


def printable(text: str) -> str:
    """Text without the lone surrogates that stand for bytes in no known charset."""
    return text.encode("utf-8", "replace").decode()
