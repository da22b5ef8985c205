"""Database errors that are not the statement's fault: away, full, read-only, overloaded, or a clash of transactions.

The caller closes the connection, and tries again or says so. None of these counts as an error of our code.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connection

T = TypeVar("T")

# PostgreSQL's codes. psycopg counts these two as internal errors, all others here as OperationalError.
READ_ONLY, IDLE_TOO_LONG = "25006", "25P03"
UNDEFINED_TABLE = "42P01"  # the statement's fault, or that of a database that was not migrated
# Two transactions clashed and this one had to yield: the whole transaction may pass if it runs again at once.
CLASHES = {"40001", "40P01"}  # serialization failure, deadlock
# A full disk, a read-only database, another session's lock: no job is to blame.
NOT_THE_JOBS_FAULT = {"53100", READ_ONLY, "55P03"}
TRIES = 3


def code(error: BaseException) -> str | None:
    """PostgreSQL's code of an error of django.db; None for another error, or if there was no answer."""
    return getattr(error.__cause__, "sqlstate", None)


def is_outage(error: BaseException) -> bool:
    """Whether the database, not the statement, is at fault."""
    if isinstance(error, InternalError):
        return code(error) in (READ_ONLY, IDLE_TOO_LONG)
    return isinstance(error, OperationalError | InterfaceError)


def summary(error: BaseException) -> str:
    """An error in one line, with the way out of a missing table. PostgreSQL's further lines may quote rows."""
    return str(error).partition("\n")[0] + (": run manage.py migrate" if code(error) == UNDEFINED_TABLE else "")


def close_connection() -> None:
    """Close the connection after an outage: a kept one may be dead, or read-only for as long as it lives."""
    if not connection.in_atomic_block:
        connection.close()


def retry_on_clash(transaction: Callable[..., T], *arguments: object) -> T:
    """Run a whole transaction, and up to twice more if it clashed with another one. It must have no effect outside the
    database. Raises what it raises."""
    for _ in range(TRIES - 1):
        try:
            return transaction(*arguments)
        except OperationalError as error:
            if code(error) not in CLASHES or connection.in_atomic_block:
                raise
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - the two must not meet again
    return transaction(*arguments)
