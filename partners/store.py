"""The partners' own records: effects, and the answers for each idempotency key. One SQLite file.

Race: two requests with one key must not both find it unused. All statements run on the event loop's thread, no
transaction awaits anything, and BEGIN IMMEDIATE locks out other processes.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from partners.problems import Problem
from partners.validation import Strict

SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (  -- one row for each time an effect happened
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
CREATE TABLE IF NOT EXISTS mails (  -- all messages to people, by any channel
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, size INTEGER NOT NULL, raw BLOB, order_number TEXT);
CREATE TABLE IF NOT EXISTS subscriptions (  -- browsers at the push service
    id TEXT PRIMARY KEY, server_key TEXT NOT NULL, private_key BLOB NOT NULL, auth BLOB NOT NULL,
    expired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS webhooks (  -- events that the shop has not accepted yet; times in seconds since 1970
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, partner TEXT NOT NULL, type TEXT NOT NULL,
    subject TEXT NOT NULL, body TEXT NOT NULL, since REAL NOT NULL, due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, accepted INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due);
CREATE TABLE IF NOT EXISTS supplies (  -- the supplier's products
    sku TEXT PRIMARY KEY, delivered INTEGER NOT NULL, price TEXT NOT NULL, version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS receivers (name TEXT PRIMARY KEY, behaviour TEXT NOT NULL);  -- as JSON
CREATE TABLE IF NOT EXISTS deliveries (  -- what receivers got
    number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, name TEXT NOT NULL, event TEXT NOT NULL,
    signature TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_name ON deliveries (name);
"""
MAIL_COLUMNS = {  # those that a store of an older version lacks
    "order_number": "TEXT",
    "channel": "TEXT NOT NULL DEFAULT 'mail'",
    "person": "TEXT NOT NULL DEFAULT ''",
    "key": "TEXT NOT NULL DEFAULT ''",
}
# Before captures existed, an authorization was the charge, and a void had no key of its own.
UPGRADE = """
UPDATE effects SET kind = 'authorization' WHERE kind = 'charge' AND key GLOB 'payment:*';
UPDATE effects SET key = 'void:' || order_number WHERE kind = 'void' AND key GLOB 'payment:*';
CREATE INDEX IF NOT EXISTS mails_order ON mails (order_number);
CREATE INDEX IF NOT EXISTS mails_person ON mails (person) WHERE person != '';
"""
# A reset empties these.
TABLES = (
    "effects", "answers", "authorizations", "mails", "subscriptions", "webhooks", "supplies", "receivers", "deliveries",
)  # fmt: skip
BATCH = 1000  # rows
KEPT = 5000  # newest messages that keep their content
# The filters of effects. `since` also finds an older effect that happened again.
FILTERS = {
    "partner": "partner = :partner",
    "order": "order_number = :order",
    "key": "key = :key",
    "since": "key IN (SELECT key FROM effects WHERE at >= :since)",
}


def timestamp(at: datetime | None = None) -> str:
    """A time (default: now) as UTC text that sorts by time."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")


class Message(NamedTuple):
    """A message to a person, by mail, SMS or push."""

    channel: str
    recipients: str
    subject: str
    raw: bytes
    sender: str = ""
    order: str = ""
    person: str = ""
    key: str = ""


class Store:
    """The open file. Raises sqlite3.Error if it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.execute = self.connection.execute
        # NORMAL: a commit survives a crash of this process, but not a power cut. A deleted row is overwritten.
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
        self.connection.executescript(pragmas + SCHEMA)
        present = {column["name"] for column in self.execute("PRAGMA table_info(mails)")}
        for name in MAIL_COLUMNS.keys() - present:
            self.execute(f"ALTER TABLE mails ADD COLUMN {name} {MAIL_COLUMNS[name]}")
        self.connection.executescript(UPGRADE)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end of the block, so before the response is sent; roll back on an error."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # SQLite may have ended it, for example on a full disk
                self.execute("ROLLBACK")
            raise

    def record_effect(self, partner: str, kind: str, key: str, order: str, at: str | None = None) -> None:
        """Record one effect, inside the caller's transaction."""
        self.execute(
            "INSERT INTO effects (partner, kind, key, order_number, at) VALUES (?, ?, ?, ?, ?)",
            (partner, kind, key, order, at or timestamp()),
        )

    def once(
        self, partner: str, key: str, body: Strict, answer: dict[str, Any], effect: Callable[[], object]
    ) -> dict[str, Any]:
        """Call `effect`, which records it, and keep the answer, in one transaction. For a known key, only return the
        recorded answer.

        Raises Problem 422 if the key came with another body.
        """
        fingerprint = body.fingerprint()
        with self.transaction():
            row = self.execute(
                "SELECT fingerprint, answer FROM answers WHERE partner = ? AND key = ?", (partner, key)
            ).fetchone()
            if row:
                require_same_body(row["fingerprint"], fingerprint)
                return json.loads(row["answer"])
            effect()
            if key:
                self.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (partner, key, fingerprint, json.dumps(answer)))
            return answer

    def keep_message(self, message: Message) -> None:
        """Keep a message inside the caller's transaction. Delete the content of the oldest one beyond `KEPT`."""
        self.execute(
            """INSERT INTO mails (at, sender, recipients, subject, size, raw, order_number, channel, person, key) VALUES
               (:at, :sender, :recipients, :subject, :size, :raw, :order, :channel, :person, :key)""",
            {**message._asdict(), "at": timestamp(), "size": len(message.raw)},
        )
        self.execute("UPDATE mails SET raw = NULL WHERE id = last_insert_rowid() - ?", (KEPT,))

    def effects(self, latest: int = -1, **wanted: str) -> list[dict[str, Any]]:
        """Effects by key, newest first, with their count and first time. `wanted` holds FILTERS, "" matches any."""
        return [dict(row) for row in self.execute(*query(wanted, latest))]

    async def batches(self, **wanted: str) -> AsyncGenerator[list[dict[str, Any]]]:
        """All effects. A thread reads them on its own connection, so the event loop serves other requests."""
        with closing(sqlite3.connect(self.path, check_same_thread=False)) as reader:
            reader.row_factory = sqlite3.Row
            rows = await asyncio.to_thread(reader.execute, *query(wanted))
            while batch := await asyncio.to_thread(rows.fetchmany, BATCH):
                yield [dict(row) for row in batch]

    def reset(self) -> None:
        with self.transaction():
            for table in TABLES:
                self.execute(f"DELETE FROM {table}")  # noqa: S608 - constants


def query(wanted: dict[str, str], latest: int = -1) -> tuple[str, dict[str, Any]]:
    """The statement of `Store.effects`, and its parameters."""
    conditions = [text for name, text in FILTERS.items() if wanted.get(name)]
    statement = f"""
        SELECT partner, kind, key, order_number AS "order", count(*) AS count, min(at) AS at
        FROM effects WHERE {" AND ".join(conditions) or "1"} GROUP BY partner, kind, key, order_number
        HAVING max(at) >= :since ORDER BY max(id) DESC LIMIT :latest"""  # noqa: S608 - constants from FILTERS
    return statement, {"since": "", **wanted, "latest": latest}


def require_same_body(recorded: str, fingerprint: str) -> None:
    """Raises Problem 422 if a known key comes with another body: one of the two is a mistake."""
    if recorded != fingerprint:
        raise Problem(422, "This Idempotency-Key was already used with another body.")


STORE = web.AppKey("store", Store)
