"""The database sessions around a body: they must be as they were, or the next job of the process suffers.

The driver knows of an open transaction. Of locks, settings and temporary tables only the server knows, and to ask it
costs a round trip. So a watch reads each statement that passes Django's cursors (a Guard costs 5 µs, a statement 1 or
2), and the server is asked only after a statement that the ORM would not send. Then a new connection takes the old
one's place, and what the old one had more is what the body left. That costs 8 ms.
"""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from psycopg.pq import TransactionStatus

log = logging.getLogger(__name__)

PLAIN = re.compile(
    r"[\s(]*(SELECT|INSERT|UPDATE|DELETE|WITH|LOCK|SHOW|SET (LOCAL|TRANSACTION|CONSTRAINTS)"
    r"|(ROLLBACK TO |RELEASE )?SAVEPOINT)\b", re.I
)  # fmt: skip
ENDING = re.compile(r"[\s(]*(COMMIT|END|ABORT|ROLLBACK(?! TO)|PREPARE TRANSACTION|BEGIN|START TRANSACTION)\b", re.I)
LASTING = ("advisory_lock", "advisory_unlock", "set_config", "into temp", "pg_temp", ";")
OPEN = (TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR)

# Each thing, its value, and whether the session made it.
STATE = """
SELECT 'the setting ' || name, setting, source = 'session' FROM pg_settings
UNION ALL SELECT 'the role', current_user, true
UNION ALL SELECT 'an advisory lock', '', true FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'the temporary table ' || relname, '', true FROM pg_class
          WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'
"""


class Unclean(Exception):
    """A body left its database session changed."""

    def __init__(self, left: list[str]) -> None:
        super().__init__(
            f"the body left {', '.join(left)}: its connection was dropped, and what was not committed is rolled back."
            " Use transaction.atomic(), SET LOCAL, pg_advisory_xact_lock() and ON COMMIT DROP, or undo it in the body"
        )


class Guard:
    """Watches the connections of this thread, but for one in a transaction already, as in a test. At the end each is as
    it was, or dropped."""

    def __init__(self) -> None:
        self.sessions = [_Session(connection) for connection in connections.all() if not connection.in_atomic_block]

    def __enter__(self) -> "Guard":
        return self

    def watch(self) -> None:
        """The body begins, in an atomic task after its transaction."""
        for session in self.sessions:
            session.watch()

    def check(self) -> None:
        """The body returned. Raises Unclean. In a transaction only the commit will tell what lasts."""
        if left := [thing for session in self.sessions for thing in session.left()]:
            raise Unclean(left)

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for session in self.sessions:
            if left := session.end(failed=error is not None):
                log.error("%s. The job is done, as its transaction was committed", Unclean(left))


class _Session:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection, self.wrappers, self.depth = connection, connection.execute_wrappers, 0
        self.suspect = False

    def watch(self) -> None:
        self.depth = len(self.connection.atomic_blocks)
        self.connection.execute_wrappers = [*self.wrappers, self._see]

    def _see(self, execute: Callable, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        """Refuses to end a transaction behind Django: what an atomic body wrote would stay without its finish."""
        if self.connection.in_atomic_block and isinstance(sql, str) and ENDING.match(sql):
            raise TransactionManagementError(f"{sql.split()[0]} in an atomic block: use transaction.atomic() for parts")
        if not isinstance(sql, str) or not PLAIN.match(sql) or any(map(sql.lower().__contains__, LASTING)):
            self.suspect = True
        return execute(sql, parameters, many, context)

    def left(self) -> list[str]:
        """What the body left. Only an open transaction, while that of an atomic task is open, too."""
        if self._is_open(self.depth):
            return [f"a transaction open on {self.connection.alias!r}"]
        return [] if self.depth else self._lasting()

    def end(self, failed: bool) -> list[str]:
        """Drop the connection unless it is as it was; returns what lasts beyond a transaction, if the body returned."""
        self.connection.execute_wrappers = self.wrappers
        if self._is_open(0) or (failed and self.suspect):
            self._drop()
        return self._lasting()

    def _is_open(self, depth: int) -> bool:
        its = self.connection
        if its.connection is None:
            return False
        if depth or its.in_atomic_block:
            return len(its.atomic_blocks) != depth
        status = its.connection.info.transaction_status if its.vendor == "postgresql" else None
        return its.autocommit != its.settings_dict["AUTOCOMMIT"] or status in OPEN

    def _lasting(self) -> list[str]:
        """What lasts beyond a transaction. A connection that may have such is replaced."""
        if not self.suspect:
            return []
        before = self._state()
        self._drop()
        new = {(what, value) for what, value, _ in self._state()}
        return [what for what, value, own in before if own and (what, value) not in new]

    def _state(self) -> list[tuple]:
        self.connection.execute_wrappers = self.wrappers
        try:
            if self.connection.vendor == "postgresql":
                with self.connection.cursor() as cursor:
                    cursor.execute(STATE)
                    return cursor.fetchall()
        except Error:  # a session that is gone has left nothing
            self.connection.close()
        return []

    def _drop(self) -> None:
        """Django's object is replaced, too: it keeps a connection that is closed in a transaction."""
        alias, driver = self.connection.alias, self.connection.connection
        with suppress(Exception):
            if driver is not None:
                driver.close()  # before Django returns it to a pool
            self.connection.close()
        del connections[alias]
        self.connection, self.suspect = connections[alias], False
