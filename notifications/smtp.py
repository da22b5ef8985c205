"""The connection to the mail server: Django's own, but that each step really takes EMAIL_TIMEOUT seconds at most, and
that it does not wait for an answer to its goodbye.

smtplib's timeout is for each read, so a server that sends a byte now and then would keep a worker until its time limit.

Between the server's "250 accepted" and our commit a dying worker makes us send the mail again. The answer to QUIT would
be a round trip in that instant, and for a server that is slow to say goodbye seconds; nothing depends on it.
"""

import smtplib
from contextlib import suppress

from django.core.mail.backends.smtp import EmailBackend

from backroom.outbound.deadline import bounded


class _Bounded(smtplib.SMTP):
    def getreply(self) -> tuple[int, bytes]:
        """One reply, all of its lines in time. Raises what SMTP.getreply does."""
        if self.file is not None:
            self.file.raw.renew()
        elif self.sock is not None:
            self.file = bounded(self.sock)
        return super().getreply()


class _BoundedOverTLS(_Bounded, smtplib.SMTP_SSL):
    pass


class Backend(EmailBackend):
    """Django's SMTP backend, bounded in time and with a short goodbye."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """What speaks SMTP."""
        return _BoundedOverTLS if self.use_ssl else _Bounded

    def close(self) -> None:
        """Say QUIT and hang up, whatever the server says."""
        line, self.connection = self.connection, None
        if line is not None:
            with suppress(OSError):  # which smtplib's errors are, too
                line.putcmd("QUIT")
            line.close()
        super().close()  # of one that was only half made
