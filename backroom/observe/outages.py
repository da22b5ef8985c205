"""Whether the database is away, and the log lines of an outage of a server."""

import logging
import time

from django.db import Error, connection

from backroom.ledger import db_errors


def diagnose() -> str:
    """The database's fault in a word, such as OperationalError or read-only; "" if it answers and takes writes."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only'), EXISTS (SELECT FROM backroom_job)")
            if cursor.fetchone()[0] == "off":
                return ""
            found = "read-only"
    except Error as error:
        found = type(error).__name__
    db_errors.close_connection()
    return found


class OutageLog:
    """Logs when an outage of the database, or of another server, begins and ends, not every second in between."""

    def __init__(self, log: logging.Logger, server: str = "database") -> None:
        self.log, self.server = log, server
        self.begun: float | None = None

    def begin(self, what: Exception | str) -> None:
        """The server fails, again or still. An error that is no outage, as of a missing table, is logged as one of our
        code: no waiting mends it."""
        if self.begun is not None:
            return
        self.begun = time.monotonic()
        if isinstance(what, str):
            self.log.warning("the %s fails, waiting for it: %s", self.server, what)
        elif db_errors.is_outage(what):
            self.log.warning("the %s fails, waiting for it: %s", self.server, db_errors.summary(what))
        else:
            self.log.error("no outage, but an error: %s", db_errors.summary(what), exc_info=what)

    def end(self) -> None:
        """The server answered."""
        if self.begun is not None:
            self.log.warning("the %s answers again, after %.0f s", self.server, time.monotonic() - self.begun)
            self.begun = None
