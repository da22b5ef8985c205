"""The payment gateway. An authorization reserves money; a capture takes it, a void lets go, a refund gives it back.

    pending ──► approved ──capture──► captured ──refund──► refunded
       └──void──► voided ◄──void──┘                 declined

Each step happens once for each authorization, however often and by however many it is asked for at once: the status is
the judge, and the step's own Idempotency-Key names its effect. Of a capture and a void the first one wins, and the
other is told 409. A void also stops what has not arrived yet.

A `demo-slow` one is pending for six seconds and then approved. No timer does that: every reader first
approves what is due, so it comes true although the client went away or this process was restarted meanwhile.
"""

import asyncio
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web

from partners import validation
from partners.problems import Problem
from partners.store import STORE, Store, moment, same_request

SLOW = timedelta(seconds=6)
CARDS = {"demo-approve": "approved", "demo-decline": "declined", "demo-slow": "pending"}
CHECKS: dict[str, validation.Check] = {
    "order": validation.order,
    "amount": validation.money,
    "currency": validation.currency,
    "card": validation.one_of(*CARDS),
}
routes = web.RouteTableDef()


class Move(NamedTuple):
    """A step: to which status and with which effect, from which statuses, and in which it was done, or is needless."""

    to: str
    effect: str
    effective: tuple[str, ...]
    done: tuple[str, ...]


MOVES = {
    "capture": Move("captured", "charge", ("approved",), ("captured", "refunded")),
    "void": Move("voided", "void", ("approved", "pending"), ("voided", "declined")),
    "refund": Move("refunded", "refund", ("captured",), ("refunded",)),
}


@routes.post("/payments/authorizations")
async def authorize(request: web.Request) -> web.Response:
    """Reserve the money once for each key."""
    key = validation.idempotency_key(request)
    body, store = validation.complete(await validation.read(request), CHECKS), request.app[STORE]
    number = record(store, key, body)
    row = find(store, "id", number)
    while row["status"] == "pending":
        due = datetime.fromisoformat(row["created_at"]) + SLOW
        await asyncio.sleep(max(0.01, (due - datetime.now(UTC)).total_seconds()))
        row = find(store, "id", number)
    return web.json_response(shape(row), status=201)


@routes.get("/payments/authorizations/{key}")
async def show(request: web.Request) -> web.Response:
    """How an authorization stands."""
    return web.json_response(shape(find(request.app[STORE], "key", request.match_info["key"])))


@routes.post("/payments/authorizations/{key}/{step:capture|void|refund}")
async def step(request: web.Request) -> web.Response:
    """Capture, void or refund."""
    key, store = validation.key(request.match_info["key"]), request.app[STORE]
    approve_due(store)
    move(store, key, request.match_info["step"], validation.idempotency_key(request))
    return web.json_response(shape(find(store, "key", key)))


def move(store: Store, key: str, name: str, step_key: str) -> None:
    """Move an authorization on, with its effect, where that was not done before. Raises Problem 404 or 409."""
    move = MOVES[name]
    with store.transaction():
        row = store.execute("SELECT * FROM authorizations WHERE key = ?", (key,)).fetchone()
        if row is None and name == "void":
            # A tombstone. It closes a race: who gives up on an authorization still on its way voids it before it comes.
            store.execute(
                "INSERT INTO authorizations (id, key, status, created_at) VALUES (?, ?, 'voided', ?)",
                (new_id(), key, moment()),
            )
        elif row is None:
            raise Problem(404, f"There is no authorization with the key {key}.")
        elif row["status"] in move.effective:
            store.execute("UPDATE authorizations SET status = ? WHERE key = ?", (move.to, key))
            if row["status"] != "pending":  # nothing was reserved for a pending one, so nothing is let go
                store.happened("payments", move.effect, step_key, row["order_number"])
        elif row["status"] not in move.done:
            raise Problem(409, f"The authorization is {row['status']}: it can't be {move.to}.")


def record(store: Store, key: str, body: dict[str, Any]) -> str:
    """Insert the authorization, with its effect, where the key is new; its id. Raises Problem 422."""
    details = (validation.fingerprint(body), body["order"], body["amount"], body["currency"])
    with store.transaction():
        row = store.execute("SELECT id, fingerprint FROM authorizations WHERE key = ?", (key,)).fetchone()
        if row is None:
            number, status = new_id(), CARDS[body["card"]]
            store.execute(
                """INSERT INTO authorizations
                   (id, key, status, created_at, fingerprint, order_number, amount, currency)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (number, key or None, status, moment(), *details),
            )
            if status == "approved":
                store.happened("payments", "authorization", key, body["order"])
            return number
        if row["fingerprint"] is None:  # a tombstone: it learns what it stopped, and stays voided
            store.execute(
                """UPDATE authorizations SET fingerprint = ?, order_number = ?, amount = ?, currency = ?
                   WHERE id = ?""",
                (*details, row["id"]),
            )
        else:
            same_request(row["fingerprint"], details[0])
        return row["id"]


def approve_due(store: Store) -> None:
    """Approve what has been pending for six seconds."""
    with store.transaction():
        for row in store.execute(
            "SELECT * FROM authorizations WHERE status = 'pending' AND created_at <= ?",
            (moment(datetime.now(UTC) - SLOW),),
        ).fetchall():
            store.execute("UPDATE authorizations SET status = 'approved' WHERE id = ?", (row["id"],))
            at = moment(datetime.fromisoformat(row["created_at"]) + SLOW)
            store.happened("payments", "authorization", row["key"] or "", row["order_number"], at)


def find(store: Store, column: str, value: str) -> sqlite3.Row:
    """An authorization by `id` or `key`, as it stands now. Raises Problem 404."""
    approve_due(store)
    row = store.execute(f"SELECT * FROM authorizations WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
    if row is None:
        raise Problem(404, f"There is no authorization with the {column} {value}.")
    return row


def shape(row: sqlite3.Row) -> dict[str, Any]:
    """An authorization as JSON; order, amount and currency of a tombstone are null until they are known."""
    return {
        "id": row["id"],
        "key": row["key"] or "",
        "order": row["order_number"],
        "status": row["status"],
        "amount": row["amount"],
        "currency": row["currency"],
    }


def new_id() -> str:
    """A gateway's number for an authorization."""
    return f"auth_{secrets.token_hex(8)}"
