"""Trouble of the database that is no fault of the statement's: away, full, read-only, overloaded, or two transactions
in each other's way. Whoever meets it lets go of the connection, and tries again or says so; nobody takes it for an
error in our code.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connection

T = TypeVar("T")

# PostgreSQL's codes. psycopg counts these two as internal errors, all other trouble as OperationalError.
READ_ONLY, IDLE_TOO_LONG = "25006", "25P03"
# The whole transaction may pass if it is tried again at once: two got in each other's way, and this one had to yield.
CLASHES = {"40001", "40P01"}  # serialization failure, deadlock
# Nobody's job is to blame: the disk is full, the database is read-only, another session sits on a lock.
NOBODYS_FAULT = {"53100", READ_ONLY, "55P03"}
TRIES = 3


def code(error: BaseException) -> str | None:
    """PostgreSQL's code of an error of django.db; None if it is another error, or there was no answer."""
    return getattr(error.__cause__, "sqlstate", None)


def is_trouble(error: BaseException) -> bool:
    """Whether an error is the database's trouble."""
    if isinstance(error, InternalError):
        return code(error) in (READ_ONLY, IDLE_TOO_LONG)
    return isinstance(error, OperationalError | InterfaceError)


def summary(error: BaseException) -> str:
    """An error in one line. PostgreSQL's further lines may quote rows."""
    return str(error).partition("\n")[0]


def of_database() -> str:
    """What is wrong with the database, in a word; "" if it answers and may be written."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only'), EXISTS (SELECT FROM backroom_job)")
            if cursor.fetchone()[0] == "off":
                return ""
            found = "read-only"
    except Error as error:
        found = type(error).__name__
    let_go()
    return found


def let_go() -> None:
    """Close the connection after trouble: a kept one may be dead, or read-only for as long as it lives."""
    if not connection.in_atomic_block:
        connection.close()


def again_after_clash(transaction: Callable[..., T], *arguments: object) -> T:
    """Run a whole transaction, and up to twice more if another one got in its way. It must have no effect outside the
    database. Raises what it raises."""
    for _ in range(TRIES - 1):
        try:
            return transaction(*arguments)
        except OperationalError as error:
            if code(error) not in CLASHES or connection.in_atomic_block:
                raise
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - not both at the same moment again
    return transaction(*arguments)


class OutageLog:
    """A process's trouble with the database: said when it begins and when it is over, not every second between."""

    def __init__(self, log: logging.Logger) -> None:
        self.log = log
        self.begun: float | None = None

    def begin(self, what: str) -> None:
        """It is in trouble, again or still."""
        if self.begun is None:
            self.begun = time.monotonic()
            self.log.warning("the database is in trouble, waiting: %s", what)

    def end(self) -> None:
        """It answered."""
        if self.begun is not None:
            self.log.warning("the database answers again, after %.0f s", time.monotonic() - self.begun)
            self.begun = None
