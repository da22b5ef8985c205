"""The mail server. It keeps every mail that it answers with 250, and counts mails by the key in their Message-ID.

SMTP has no idempotency: a mail sent twice arrives twice. So mails are counted, not deduplicated.

A mailbox whose name begins with `bounced` does not exist: its mail is accepted, and a webhook reports the bounce.
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
from partners.store import Message, Store
from partners.webhooks import Webhooks

LARGEST = 25 * 1024 * 1024  # bytes
BOUNCE_AFTER = 1.0  # seconds
NO_MAILBOX = "550 5.1.1 The mailbox does not exist"
log = logging.getLogger(__name__)
MESSAGE_ID = re.compile(r"<([a-z][a-z_-]*)\.([^@\s]+)@[^@\s]+>")


class MailServer:
    """Creates the protocol for each connection, and handles its mails."""

    def __init__(self, store: Store, webhooks: Webhooks, partner: Partner) -> None:
        self.store = store
        self.webhooks = webhooks
        self.partner = partner

    def connect(self) -> asyncio.Protocol:
        """The protocol for a new connection: SMTP, or one that closes it."""
        self.partner.connections += 1
        if self.partner.faults.down:
            return Closed()
        loop = asyncio.get_running_loop()
        return Server(self, data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="localhost", loop=loop)

    async def handle_DATA(self, server: "Server", session: Session, envelope: Envelope) -> str:
        """Accept a mail, or not, as the faults say. Returns the SMTP reply."""
        self.partner.requests += 1
        faults = self.partner.faults
        if faults.down:  # the connection is older than the fault
            return "421 Injected fault: the mail server is down"
        if faults.hang:
            await asyncio.Event().wait()  # cancelled when the client disconnects
        await asyncio.sleep(faults.latency_ms / 1000)
        status = faults.failure(451)
        if status:
            return f"{status} Injected fault"
        self.keep(envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b"")
        if faults.accept_then_fail:
            return "451 Injected fault: the mail was accepted"
        if faults.garbage:
            return "Have a nice day"
        if faults.truncate:
            server.line.write(b"25")
            server.line.write_eof()
            await asyncio.Event().wait()
        return "250 OK"

    def keep(self, sender: str, recipients: list[str], raw: bytes) -> None:
        """Record a mail, its effect and its bounces together."""
        message = message_from_bytes(raw, policy=policy.default)
        subject, message_id = header(message, "Subject"), header(message, "Message-ID")
        kind, key, order = key_of(message_id)
        addresses = [printable(each) for each in recipients]
        with self.store.transaction():
            about, person = header(message, "X-Order"), header(message, "X-Person")
            mail = Message("mail", ", ".join(addresses), subject, raw, printable(sender), about, person, key)
            self.store.keep_message(mail)
            self.store.record_effect("mail", kind, key, order)
            for address in addresses:
                if address.lower().startswith("bounced"):
                    data = {"message_id": message_id, "address": address, "reason": NO_MAILBOX}
                    self.webhooks.record("mail", "mail.bounced", data, message_id, BOUNCE_AFTER)

    async def handle_exception(self, error: Exception) -> str:
        """An error of this server is temporary for the sender, so it retries."""
        log.error("mail not stored", exc_info=error)
        return "451 Internal error of the mail server. See its log"


class Server(SMTP):
    """SMTP with replies as slow as the faults say."""

    @property
    def line(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self.transport)

    async def push(self, status: AnyStr) -> None:
        faults = self.event_handler.partner.faults
        if not faults.trickle_ms:
            return await super().push(status)
        text = status.encode() if isinstance(status, str) else status
        await trickle(self.line, text + b"\r\n", faults.trickle_ms)


class Closed(asyncio.Protocol):
    """A connection that is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def key_of(message_id: str) -> tuple[str, str, str]:
    """Kind, key and order of `<receipt.1001@…>`; other mails have the kind `mail` and no key."""
    match = MESSAGE_ID.fullmatch(message_id.strip())
    if match is None:
        return "mail", "", ""
    kind, rest = match.groups()
    return kind, f"{kind}:{rest}", rest if rest.isdigit() else ""


def header(message: EmailMessage, name: str) -> str:
    """One header as text, or "" if it is missing or can't be parsed."""
    try:
        return printable(str(message[name] or ""))
    except Exception:  # the parser raises errors of any type on malformed headers
        return ""


def printable(text: str) -> str:
    """The text with lone surrogates replaced: they stand for bytes of an unknown charset."""
    return text.encode("utf-8", "replace").decode()
