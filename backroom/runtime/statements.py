"""What a statement may do to its session, by its text. A false alarm costs a new connection, and no attempt."""

import re
from typing import Any

from psycopg.sql import Composable

PLAIN = re.compile(
    r"[\s(]*(SELECT|INSERT|UPDATE|DELETE|WITH|LOCK|SHOW|SET (LOCAL|TRANSACTION|CONSTRAINTS)"
    r"|(ROLLBACK TO |RELEASE )?SAVEPOINT)\b", re.I
)  # fmt: skip
LASTING = re.compile(r"advisory_(un)?lock|set_config|\b(pg_)?temp(orary)?\b|;", re.I)
PARTS = ("advisory_", "set_config", "temp", ";")  # of it: looked for first, as that costs a tenth
ENDING = re.compile(
    r"(?:^|;)[\s(]*(COMMIT|END|ABORT|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO\b)"
    r"|PREPARE\s+TRANSACTION|BEGIN|START\s+TRANSACTION)\b", re.I
)  # fmt: skip
QUOTED = re.compile(  # in which a word is no command
    r"""--[^\n]*|/\*.*?\*/|\bE'(?:[^'\\]|\\.|'')*'|'[^']*'|"[^"]*"|\$(\w*)\$.*?\$\1\$""", re.I | re.S
)


def is_plain(sql: Any) -> bool:
    """Whether the ORM would send such a statement: it ends no transaction, and leaves nothing in the session."""
    text = _text(sql)
    return bool(PLAIN.match(text)) and not (any(map(text.lower().__contains__, PARTS)) and LASTING.search(text))


def ending(sql: Any) -> str:
    """The word that ends or begins a transaction, in any of its commands; "" if none does."""
    found = ENDING.search(QUOTED.sub(" ", _text(sql)))
    return found[1] if found else ""


def _text(sql: Any) -> str:
    if isinstance(sql, bytes):
        return sql.decode()
    return sql.as_string() if isinstance(sql, Composable) else str(sql)
