"""The connection to the mail server: Django's own, but that it does not wait for an answer to its goodbye.

Between the server's "250 accepted" and our commit a dying worker makes us send the mail again. The answer to QUIT would
be a round trip in that instant, and for a server that is slow to say goodbye seconds; nothing depends on it.
"""

from contextlib import suppress

from django.core.mail.backends.smtp import EmailBackend


class Backend(EmailBackend):
    """Django's SMTP backend with a short goodbye."""

    def close(self) -> None:
        """Say QUIT and hang up, whatever the server says."""
        line, self.connection = self.connection, None
        if line is not None:
            with suppress(OSError):  # which smtplib's errors are, too
                line.putcmd("QUIT")
            line.close()
        super().close()  # of one that was only half made
