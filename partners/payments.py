"""The payment gateway. An authorization reserves money, a capture takes it, a void releases it, a refund returns it.

    pending ──► approved ──capture──► captured ──refund──► refunded
       └──void──► voided ◄──void──┘                 declined

Each step happens once for each authorization, also under concurrent requests: the authorization's status decides.
The step's own Idempotency-Key names its effect. Of a capture and a void the first one wins, the other gets 409.

A `demo-slow` authorization is pending for six seconds and then approved. It needs no timer: every read first
approves what is due. So it is approved even if the client leaves or this process restarts meanwhile.

A webhook reports an approval, a capture and a refund. That of a pending approval waits in the store until it is due.
"""

import asyncio
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from aiohttp import web

from partners.problems import Problem
from partners.store import STORE, Store, require_same_body, timestamp
from partners.validation import Amount, Body, Currency, Strict, idempotency_key, key, read, utc
from partners.webhooks import WEBHOOKS

SLOW = timedelta(seconds=6)
CARDS = {"demo-approve": "approved", "demo-decline": "declined", "demo-slow": "pending"}
Event = Literal["payment.authorized", "payment.captured", "payment.refunded"]
# Seconds from each change to its event; None: events are sent at will only.
AFTER: web.AppKey[float | None] = web.AppKey("payments_after")
routes = web.RouteTableDef()


class Authorization(Body):
    """Money to reserve on a card."""

    amount: Amount
    currency: Currency
    card: Literal["demo-approve", "demo-decline", "demo-slow"]


class Report(Strict):
    """An event to send at will, dated now or at any time."""

    type: Event
    at: str = ""


class Step(NamedTuple):
    """A change of status, the effect it has, and the event that reports it."""

    to: str
    effect: str
    allowed: tuple[str, ...]  # statuses that it changes
    done: tuple[str, ...]  # statuses in which it has nothing left to do
    event: Event | None = None


STEPS = {
    "capture": Step("captured", "charge", ("approved",), ("captured", "refunded"), "payment.captured"),
    "void": Step("voided", "void", ("approved", "pending"), ("voided", "declined")),
    "refund": Step("refunded", "refund", ("captured",), ("refunded",), "payment.refunded"),
}


@routes.post("/payments/authorizations")
async def authorize(request: web.Request) -> web.Response:
    """Reserve the money once for each key."""
    idempotency, body, store = idempotency_key(request), await read(request, Authorization), request.app[STORE]
    number = record(request.app, idempotency, body)
    row = find(store, "id", number)
    while row["status"] == "pending":
        due = datetime.fromisoformat(row["created_at"]) + SLOW
        await asyncio.sleep(max(0.01, (due - datetime.now(UTC)).total_seconds()))
        row = find(store, "id", number)
    return web.json_response(as_json(row), status=201)


@routes.get("/payments/authorizations/{key}")
async def show(request: web.Request) -> web.Response:
    return web.json_response(as_json(find(request.app[STORE], "key", request.match_info["key"])))


@routes.post("/payments/authorizations/{key}/{step:capture|void|refund}")
async def take_step(request: web.Request) -> web.Response:
    authorization, store = key(request.match_info["key"]), request.app[STORE]
    approve_due(store)
    apply(request.app, authorization, STEPS[request.match_info["step"]], idempotency_key(request))
    return web.json_response(as_json(find(store, "key", authorization)))


@routes.post("/payments/authorizations/{key}/events")
async def send_event(request: web.Request) -> web.Response:
    """Send an event of an authorization at once. Raises Problem 404 and 409."""
    wanted, row = await read(request, Report), find(request.app[STORE], "key", request.match_info["key"])
    at, data = utc("at", wanted.at), {"order": row["order_number"], "authorization": row["id"]}
    id = request.app[WEBHOOKS].record("payments", wanted.type, data, row["order_number"] or "", at=at)
    if not id:
        raise Problem(409, "PAYMENTS_WEBHOOK_SECRET is not set, so the gateway sends no webhooks.")
    return web.json_response({"id": id}, status=202)


def report(app: web.Application, type: Event, order: str, id: str, later: float = 0.0) -> None:
    """Keep an event in the caller's transaction, due `later` seconds after those of AFTER."""
    if (after := app[AFTER]) is not None:
        app[WEBHOOKS].record("payments", type, {"order": order, "authorization": id}, order, after + later)


def apply(app: web.Application, key: str, step: Step, step_key: str) -> None:
    """Change an authorization and record the effect, unless that is done. Raises Problem 404 or 409."""
    store = app[STORE]
    with store.transaction():
        row = store.execute("SELECT * FROM authorizations WHERE key = ?", (key,)).fetchone()
        if row is None and step.effect == "void":
            # A tombstone closes a race: a client may void an authorization that arrives after the void.
            store.execute(
                "INSERT INTO authorizations (id, key, status, created_at) VALUES (?, ?, 'voided', ?)",
                (new_id(), key, timestamp()),
            )
        elif row is None:
            raise Problem(404, f"There is no authorization with the key {key}.")
        elif row["status"] in step.allowed:
            change(app, row, step, step_key)
        elif row["status"] not in step.done:
            raise Problem(409, f"The authorization is {row['status']}: it can't be {step.to}.")


def change(app: web.Application, row: sqlite3.Row, step: Step, step_key: str) -> None:
    """Take a step on an authorization, in the caller's transaction. A pending one has reserved nothing, so nothing is
    released, and its approval will not be reported."""
    store, order = app[STORE], row["order_number"]
    store.execute("UPDATE authorizations SET status = ? WHERE id = ?", (step.to, row["id"]))
    if row["status"] == "pending":
        store.execute("DELETE FROM webhooks WHERE partner = 'payments' AND subject = ?", (order,))
    else:
        store.record_effect("payments", step.effect, step_key, order)
    if step.event:
        report(app, step.event, order, row["id"])


def record(app: web.Application, key: str, body: Authorization) -> str:
    """Insert the authorization with its effect if the key is new. Return its id. Raises Problem 422."""
    store, details = app[STORE], (body.fingerprint(), body.order, body.amount, body.currency)
    with store.transaction():
        row = store.execute("SELECT id, fingerprint FROM authorizations WHERE key = ?", (key,)).fetchone()
        if row is None:
            return insert(app, key, CARDS[body.card], details)
        if row["fingerprint"] is not None:
            require_same_body(row["fingerprint"], details[0])
        else:  # a tombstone: it gets the details of what it stopped, and stays voided
            store.execute(
                "UPDATE authorizations SET (fingerprint, order_number, amount, currency) = (?, ?, ?, ?) WHERE id = ?",
                (*details, row["id"]),
            )
        return row["id"]


def insert(app: web.Application, key: str, status: str, details: tuple[str, str, str, str]) -> str:
    """Insert an authorization in the caller's transaction. Return its id."""
    store, number, order = app[STORE], new_id(), details[1]
    store.execute(
        """INSERT INTO authorizations (id, key, status, created_at, fingerprint, order_number, amount, currency)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (number, key or None, status, timestamp(), *details),
    )
    if status == "approved":
        store.record_effect("payments", "authorization", key, order)
    if status != "declined":
        report(app, "payment.authorized", order, number, SLOW.total_seconds() if status == "pending" else 0.0)
    return number


def approve_due(store: Store) -> None:
    """Approve authorizations that have been pending for six seconds."""
    with store.transaction():
        for row in store.execute(
            "SELECT * FROM authorizations WHERE status = 'pending' AND created_at <= ?",
            (timestamp(datetime.now(UTC) - SLOW),),
        ).fetchall():
            store.execute("UPDATE authorizations SET status = 'approved' WHERE id = ?", (row["id"],))
            at = timestamp(datetime.fromisoformat(row["created_at"]) + SLOW)
            store.record_effect("payments", "authorization", row["key"] or "", row["order_number"], at)


def find(store: Store, column: str, value: str) -> sqlite3.Row:
    """The authorization with this `id` or `key`, up to date. Raises Problem 404."""
    approve_due(store)
    row = store.execute(f"SELECT * FROM authorizations WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
    if row is None:
        raise Problem(404, f"There is no authorization with the {column} {value}.")
    return row


def as_json(row: sqlite3.Row) -> dict[str, Any]:
    """An authorization as JSON. A tombstone has no order, amount and currency until its authorization arrives."""
    same = {name: row[name] for name in ("id", "status", "amount", "currency")}
    return {**same, "key": row["key"] or "", "order": row["order_number"]}


def new_id() -> str:
    """A random id in the style of payment gateways."""
    return f"auth_{secrets.token_hex(8)}"
