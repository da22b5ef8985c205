"""The partners' own records: what really happened, and the answers remembered by key. One SQLite file.

All statements run on the event loop's thread, none awaits inside a transaction, and BEGIN IMMEDIATE keeps out
another process: two requests with one key can never both find it unused.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from partners import validation
from partners.problems import Problem

SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (  -- one row each time that something really happened
    id INTEGER PRIMARY KEY AUTOINCREMENT, partner TEXT NOT NULL, kind TEXT NOT NULL,
    key TEXT NOT NULL, order_number TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS effects_key ON effects (key);
CREATE INDEX IF NOT EXISTS effects_order ON effects (order_number);
CREATE INDEX IF NOT EXISTS effects_at ON effects (at);
CREATE TABLE IF NOT EXISTS answers (
    partner TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (partner, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS authorizations (
    id TEXT PRIMARY KEY, key TEXT UNIQUE, fingerprint TEXT, order_number TEXT, status TEXT NOT NULL,
    amount TEXT, currency TEXT, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS authorizations_pending ON authorizations (created_at) WHERE status = 'pending';
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, size INTEGER NOT NULL, raw BLOB);
"""
# Until captures came, an authorization was the charge itself, and a void had no key of its own.
OF_EARLIER_STORES = """
UPDATE effects SET kind = 'authorization' WHERE kind = 'charge' AND key GLOB 'payment:*';
UPDATE effects SET key = 'void:' || order_number WHERE kind = 'void' AND key GLOB 'payment:*';
"""


PORTION = 1000  # rows
# What an effect can be asked for by. `since`: what happened then or later, or once more.
CONDITIONS = {
    "partner": "partner = :partner",
    "order": "order_number = :order",
    "key": "key = :key",
    "since": "key IN (SELECT key FROM effects WHERE at >= :since)",
}


def moment(at: datetime | None = None) -> str:
    """A time (now, where none is given) as UTC text that sorts as it reads."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")


class Store:
    """The open file. Raises sqlite3.Error where it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        # NORMAL: a commit survives the death of this process, if not a power cut. Nobody here pulls the plug.
        self.connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA + OF_EARLIER_STORES
        )
        self.execute = self.connection.execute

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; committed when the block is left, so before anybody is answered."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # a full disk, for one, has ended it already
                self.execute("ROLLBACK")
            raise

    def happened(self, partner: str, kind: str, key: str, order: str, at: str | None = None) -> None:
        """Record one effect, inside the caller's transaction."""
        self.execute(
            "INSERT INTO effects (partner, kind, key, order_number, at) VALUES (?, ?, ?, ?, ?)",
            (partner, kind, key, order, at or moment()),
        )

    def once(self, partner: str, kind: str, key: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """Record an effect and its answer together; for a known key, only give the answer recorded then.

        Raises Problem 422 where the key came with another body.
        """
        fingerprint = validation.fingerprint(body)
        with self.transaction():
            row = self.execute(
                "SELECT fingerprint, answer FROM answers WHERE partner = ? AND key = ?", (partner, key)
            ).fetchone()
            if row:
                same_request(row["fingerprint"], fingerprint)
                return json.loads(row["answer"])
            self.happened(partner, kind, key, body["order"])
            if key:
                self.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (partner, key, fingerprint, json.dumps(answer)))
            return answer

    def effects(self, latest: int = -1, **wanted: str) -> list[dict[str, Any]]:
        """What happened, by key, newest first, with how often and when first. `wanted`: by CONDITIONS, "" being any;
        `latest`: only so many."""
        return [dict(row) for row in self.execute(*query(wanted, latest))]

    async def portions(self, **wanted: str) -> AsyncGenerator[list[dict[str, Any]]]:
        """The same, for however many: read by a thread on a connection of its own, so others are served meanwhile."""
        with closing(sqlite3.connect(self.path, check_same_thread=False)) as reader:
            reader.row_factory = sqlite3.Row
            rows = await asyncio.to_thread(reader.execute, *query(wanted))
            while portion := await asyncio.to_thread(rows.fetchmany, PORTION):
                yield [dict(row) for row in portion]

    def reset(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in ("effects", "answers", "authorizations", "mails"):
                self.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand one line above


def query(wanted: dict[str, str], latest: int = -1) -> tuple[str, dict[str, Any]]:
    """The statement for `Store.effects`, and its parameters."""
    conditions = [text for name, text in CONDITIONS.items() if wanted.get(name)]
    statement = f"""
        SELECT partner, kind, key, order_number AS "order", count(*) AS count, min(at) AS at
        FROM effects WHERE {" AND ".join(conditions) or "1"} GROUP BY partner, kind, key, order_number
        HAVING max(at) >= :since ORDER BY max(id) DESC LIMIT :latest"""  # noqa: S608 - of CONDITIONS
    return statement, {"since": "", **wanted, "latest": latest}


def same_request(recorded: str, fingerprint: str) -> None:
    """Raises Problem 422 where a known key comes with another body: one of the two is a mistake."""
    if recorded != fingerprint:
        raise Problem(422, "This Idempotency-Key came before with another body.")


STORE = web.AppKey("store", Store)
