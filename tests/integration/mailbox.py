"""A real SMTP server inside the test. It keeps the mails it accepts and fails where the test says so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from stack import ports


class Mailbox:
    """`mails` are the accepted ones. `answers` maps MAIL, RCPT and DATA to a reply. Addresses that are
    `rejected` don't exist; the mailboxes of others are `full`."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.rejected: set[str] = set()
        self.full: set[str] = set()
        self.hangs_at = ""
        self.drops_at = ""

    async def _answer(self, server: SMTP, step: str) -> str | None:
        if self.hangs_at == step:
            await asyncio.Event().wait()
        if self.drops_at == step:
            server.transport.abort()
        return self.answers.get(step)

    async def handle_MAIL(self, server, session, envelope, address, options) -> str:
        envelope.mail_from = address
        return await self._answer(server, "MAIL") or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address in self.rejected:
            return "550 no such user"
        if address in self.full:
            return "452 mailbox full"
        envelope.rcpt_tos.append(address)
        return await self._answer(server, "RCPT") or "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        refusal = await self._answer(server, "DATA")
        if refusal is None:
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return refusal or "250 OK"

    async def handle_QUIT(self, server, session, envelope) -> str:
        await self._answer(server, "QUIT")
        return "221 Bye"


@contextmanager
def serving(settings) -> Iterator[Mailbox]:
    """A mailbox that Django's settings point to. It rejects every login."""
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=ports.free(["SMTP_PORT"])["SMTP_PORT"],
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
    )
    controller.start()
    settings.EMAIL_BACKEND = "notifications.smtp.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = controller.hostname, controller.port
    settings.EMAIL_TIMEOUT = 30
    try:
        yield mailbox
    finally:
        controller.stop()
