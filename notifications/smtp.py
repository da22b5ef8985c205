"""Django's SMTP backend, with a deadline for each reply and no wait for the reply to QUIT.

smtplib's timeout is per read. A server that sends one byte at a time could hold a worker until its time limit.

A worker that dies between the server's "250 accepted" and our commit sends the mail again. A wait for the reply to QUIT
would prolong that window by a round trip, or by seconds with a slow server.
"""

import smtplib
from contextlib import suppress

from django.core.mail.backends.smtp import EmailBackend

from backroom.outbound.deadline import bounded


class _Bounded(smtplib.SMTP):
    def getreply(self) -> tuple[int, bytes]:
        """One reply; all its lines share one deadline. Raises what SMTP.getreply does."""
        if self.file is not None:
            self.file.raw.renew()
        elif self.sock is not None:
            self.file = bounded(self.sock)
        return super().getreply()


class _BoundedOverTLS(_Bounded, smtplib.SMTP_SSL):
    pass


class Backend(EmailBackend):
    """Waits at most EMAIL_TIMEOUT seconds for each reply."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _BoundedOverTLS if self.use_ssl else _Bounded

    def close(self) -> None:
        """Send QUIT and close the socket without a wait for the reply."""
        smtp, self.connection = self.connection, None
        if smtp is not None:
            with suppress(OSError):  # smtplib's errors are OSErrors
                smtp.putcmd("QUIT")
            smtp.close()
        super().close()  # closes a half-open connection
