"""The database sessions around a body: they must be as they were, or the next job of the process suffers.

The driver knows of an open transaction. Of locks, settings and temporary tables only the server knows, and to ask it
costs a round trip. So a watch reads each statement, of Django's cursors and of the driver's own (a Guard costs 7 µs, a
statement 3 or 4), and the server is asked only after a statement that the ORM would not send. Then a new connection
takes the old one's place, and what the old one had more is what the body left. That costs 8 ms.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from types import TracebackType
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from psycopg.pq import TransactionStatus

from backroom.runtime import statements

log = logging.getLogger(__name__)

OPEN = (TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR)

# Each thing, its value, and whether the session made it.
STATE = """
SELECT 'the setting ' || name, setting, source = 'session' FROM pg_settings
UNION ALL SELECT 'the role', current_user, true
UNION ALL SELECT 'an advisory lock', '', true FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'the temporary table ' || relname, '', true FROM pg_class
          WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'
"""


FACTORIES = ("cursor_factory", "server_cursor_factory")  # of the driver's connection


@cache
def _watched(cursor: type) -> type:
    """This class of the driver's cursors; each shows its statements to the watch of its connection."""

    def watched(method: Callable) -> Callable:
        def call(self: Any, query: Any, *args: Any, **options: Any) -> Any:
            self.connection.look(query)
            return method(self, query, *args, **options)

        return call

    methods = {name: watched(getattr(cursor, name)) for name in ("execute", "executemany", "stream", "copy")}
    return type(cursor.__name__, (cursor,), methods)


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
        self.driver: Any = None  # the watched one
        self.suspect = False

    def watch(self) -> None:
        self.depth = len(self.connection.atomic_blocks)
        self.connection.execute_wrappers = [*self.wrappers, self._see]
        self._watch_driver()

    def _watch_driver(self) -> None:
        """A body may use the driver's connection itself."""
        driver: Any = self.connection.connection
        if driver is self.driver or self.connection.vendor != "postgresql":
            return
        self._unwatch_driver()
        self.driver, self.factories = driver, {name: getattr(driver, name) for name in FACTORIES}
        driver.look = self.look
        for name, factory in self.factories.items():
            setattr(driver, name, _watched(factory))
        for name in "commit", "rollback":
            setattr(driver, name, partial(self._end, name, getattr(driver, name)))

    def _unwatch_driver(self) -> None:
        if self.driver:
            for name, factory in self.factories.items():
                setattr(self.driver, name, factory)
            del self.driver.look, self.driver.commit, self.driver.rollback
            self.driver = None

    def _see(self, execute: Callable, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        self._watch_driver()  # it may have connected meanwhile
        self.look(sql)
        return execute(sql, parameters, many, context)

    def look(self, sql: Any) -> None:
        """Note a statement that the ORM would not send."""
        if statements.is_plain(sql):
            return
        if self.connection.in_atomic_block and (word := statements.ending(sql)):
            self._end(word)
        self.suspect = True

    def _end(self, word: str, end: Callable[[], object] = bool) -> None:
        """A transaction ends; not behind Django, or what an atomic body wrote would stay without its finish."""
        if self.connection.in_atomic_block:
            raise TransactionManagementError(f"{word} in an atomic block: use transaction.atomic() for parts")
        end()

    def _unwatch(self) -> None:
        self.connection.execute_wrappers = self.wrappers
        self._unwatch_driver()

    def left(self) -> list[str]:
        """What the body left. Only an open transaction, while that of an atomic task is open, too."""
        if self._is_open(self.depth):
            return [f"a transaction open on {self.connection.alias!r}"]
        return [] if self.depth else self._lasting()

    def end(self, failed: bool) -> list[str]:
        """Drop the connection unless it is as it was; returns what lasts beyond a transaction, if the body returned."""
        self._unwatch()
        if self._is_open(0) or (failed and self.suspect):
            self._drop()
        return self._lasting()

    def _is_open(self, depth: int) -> bool:
        its = self.connection
        if its.connection is None:
            return False
        if depth or its.in_atomic_block:
            return len(its.atomic_blocks) != depth
        kept = {its.autocommit}
        if its.vendor == "postgresql":
            if its.connection.info.transaction_status in OPEN:
                return True
            kept.add(its.connection.autocommit)
        return kept != {its.settings_dict["AUTOCOMMIT"]}

    def _lasting(self) -> list[str]:
        """What lasts beyond a transaction. A connection that may have such is replaced."""
        if not self.suspect:
            return []
        before = self._state()
        self._drop()
        new = {(what, value) for what, value, _ in self._state()}
        return [what for what, value, own in before if own and (what, value) not in new]

    def _state(self) -> list[tuple]:
        self._unwatch()
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
