"""System checks of the database's sessions: what DATABASES sends them, and what the server says that they have and may.

A pooler may drop it: PgBouncer in transaction mode does, with `ignore_startup_parameters = options`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import connections

ISOLATION = "read committed"
LIMITS = {  # of a session: the promise that rests on it
    "statement_timeout": "a slow statement holds a worker or a request for ever",
    "lock_timeout": "a statement waits for a lock of another session for ever",
    "idle_in_transaction_session_timeout": "a process that freezes in a transaction keeps its jobs from their rescue",
}
# {greeted}: the process that greeted the driver. Behind a pooler it is another one that answers.
ASK = (
    "SELECT pg_backend_pid() <> {greeted},"
    " current_setting('transaction_isolation'), current_setting('default_transaction_isolation')"
    + "".join(f", current_setting('{name}')" for name in LIMITS)
)
KEEPALIVES = '"keepalives_idle": 10, "keepalives_interval": 3, "tcp_user_timeout": 10_000'
EXCESS = ("is a superuser: it runs programs and reads files of the server", "may create tables")
ASK_ROLE = "SELECT current_setting('is_superuser')::bool, has_schema_privilege(current_schema(), 'CREATE')"
HINT = 'add -c {0}=... to "options" in the OPTIONS of DATABASES["default"]; '
UNSENT = HINT + "if ALTER ROLE sets it, put backroom.W003 into SILENCED_SYSTEM_CHECKS"
UNSET = HINT + "if it is there, a pooler drops it: use ALTER ROLE ... SET"
CURSORS = (
    'set DISABLE_SERVER_SIDE_CURSORS in DATABASES["default"]; if the pooler keeps a session for each client, put'
    " backroom.W014 into SILENCED_SYSTEM_CHECKS"
)


@register()
def check_options(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What DATABASES sends. Without a connection: Celery runs the checks in a web process, too."""
    its = connections["default"].settings_dict
    options = str(its["OPTIONS"].get("options", ""))
    found: list[CheckMessage] = [
        Warning(f"DATABASES sets no {name}: {breaks}", id="backroom.W003",
                hint=UNSENT.format(name))
        for name, breaks in LIMITS.items() if name not in options
    ]  # fmt: skip
    local = its["HOST"].startswith(("/", "127.")) or its["HOST"] in ("", "localhost", "::1")
    if not local and "tcp_user_timeout" not in its["OPTIONS"]:
        found.append(Warning("DATABASES sets no tcp_user_timeout: a process whose link to the database is cut hangs for"
                             " 15 minutes", hint=f'add {KEEPALIVES} to the OPTIONS of DATABASES["default"]',
                             id="backroom.W013"))  # fmt: skip
    return found


@register(Tags.database)
def check_sessions(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What a new session has. Nothing where the database is away."""
    found = _answer(databases, ASK)
    if not found:
        return []
    pooled, level, default, *limits = found
    return list(_faults(pooled, {level, default} - {ISOLATION}, dict(zip(LIMITS, limits, strict=True))))


@register(Tags.database, deploy=True)
def check_role(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What the role of the processes may do beside their rows: an injected statement may do it, too."""
    found = _answer(databases, ASK_ROLE)
    return [
        Warning(f"the database's role {what}", hint="connect as a plain role, and as the tables' owner to migrate only",
                id="backroom.W009")
        for what, may in zip(EXCESS, found or (), strict=False) if may
    ]  # fmt: skip


def _answer(databases: Sequence[str] | None, question: str) -> tuple | None:
    """A new session's first row. None where the database is away or no PostgreSQL."""
    if "default" not in (databases or ()):
        return None
    probe = connections["default"].copy()
    if probe.vendor != "postgresql":
        return None
    try:
        probe.set_autocommit(False)
        with probe.cursor() as cursor:
            cursor.execute(question.format(greeted=probe.connection.info.backend_pid))
            return cursor.fetchone()
    except DatabaseError:
        return None
    finally:
        probe.close()


def _faults(pooled: bool, levels: set[str], limits: dict[str, str]) -> Iterator[CheckMessage]:
    if levels:
        yield Error(f"transactions are {' and '.join(sorted(levels))}: the ledger's compare-and-set statements"
                    f" would fail instead of waiting", hint=f"use {ISOLATION}, PostgreSQL's default",
                    id="backroom.E012")  # fmt: skip
    if unset := [name for name in LIMITS if limits[name] == "0"]:
        yield Warning(f"a session of the database has no {', '.join(unset)}:"
                      f" {'; '.join(LIMITS[name] for name in unset)}", hint=UNSET.format("=... -c ".join(unset)),
                      id="backroom.W007")  # fmt: skip
    if pooled and not connections["default"].settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield Warning("a pooler shares out the database's sessions: `.iterator()` outside a transaction loses its"
                      " cursor", hint=CURSORS, id="backroom.W014")  # fmt: skip
