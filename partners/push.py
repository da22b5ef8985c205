"""The push service of a browser, and the browsers themselves: RFC 8030, with VAPID (RFC 8292).

A real push service can't read a message. This one makes the subscriptions, so it has each browser's keys, and refuses
a message that the browser could not read. Beyond the RFCs it knows Idempotency-Key: a browser gets a message once.
"""

import json
import secrets
import sqlite3
from functools import partial
from typing import Annotated

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field

from partners.problems import Problem
from partners.push_encryption import base64url, decrypt, raw_key
from partners.store import STORE, Message, Store
from partners.validation import Strict, idempotency_key, kind_and_order, read
from partners.vapid import check_vapid

LARGEST = 4096  # bytes
LONGEST_TTL = 28 * 24 * 3600  # seconds; a longer one is shortened
BASE_URL = web.AppKey("base_url", str)  # by which the shop reaches this process; "" is the address of each request
routes = web.RouteTableDef()


class Browser(Strict):
    """What a page passes to `pushManager.subscribe`: the shop's public VAPID key, in base64url."""

    applicationServerKey: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{87}\Z")]


@routes.post("/push/subscriptions")
async def subscribe(request: web.Request) -> web.Response:
    """Subscribe a new browser. Answers as `PushSubscription` does, with the keys beside the endpoint."""
    server_key = (await read(request, Browser)).applicationServerKey
    try:
        raw_key(server_key)
    except ValueError:
        raise Problem(422, "applicationServerKey is not a public key of the curve P-256.") from None
    key, auth, id = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16), secrets.token_urlsafe(16)
    private = key.private_numbers().private_value.to_bytes(32)
    request.app[STORE].execute(
        "INSERT INTO subscriptions (id, server_key, private_key, auth) VALUES (?, ?, ?, ?)",
        (id, server_key, private, auth),
    )
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    endpoint = f"{request.app[BASE_URL] or request.url.origin()}/push/{id}"
    return web.json_response({"endpoint": endpoint, "p256dh": base64url(public), "auth": base64url(auth)}, status=201)


@routes.delete("/push/{subscription:[A-Za-z0-9_-]{22}}")
async def expire(request: web.Request) -> web.Response:
    """End a subscription, as a browser does whose person withdraws the permission."""
    id = subscription_of(request)["id"]
    request.app[STORE].execute("UPDATE subscriptions SET expired = 1 WHERE id = ?", (id,))
    return web.Response(status=204)


@routes.post("/push/{subscription:[A-Za-z0-9_-]{22}}")
async def push(request: web.Request) -> web.Response:
    """Accept a message for a browser. Raises Problem 400, 401, 403, 404, 410, 413 and 415."""
    subscription, store, key = subscription_of(request), request.app[STORE], idempotency_key(request)
    check_vapid(request, subscription["server_key"])
    ttl = seconds_to_live(request)
    text = decrypt(await payload(request), subscription["private_key"], subscription["auth"])
    effect = partial(show, store, subscription["id"], key, request.headers.get("X-Person", ""), text)
    scope = f"{subscription['id']}/{key}" if key else ""  # one notice may go to several browsers
    # A repeated message may differ, in a link's signature for example. As with a real service, its body is no mistake.
    answer = store.once("push", scope, Strict(), {"message": secrets.token_urlsafe(16)}, effect)
    location = f"{request.url.origin()}/push/messages/{answer['message']}"
    return web.Response(status=201, headers={"Location": location, "TTL": str(ttl)})


def subscription_of(request: web.Request) -> sqlite3.Row:
    """The subscription named in the path. Raises Problem 404 or 410."""
    id = request.match_info["subscription"]
    row = request.app[STORE].execute("SELECT * FROM subscriptions WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(404, "There is no such subscription.")
    if row["expired"]:
        raise Problem(410, "This subscription has expired.")
    return row


def seconds_to_live(request: web.Request) -> int:
    """The header TTL, which a message must have. Raises Problem 400."""
    ttl = request.headers.get("TTL", "")
    if not (ttl.isascii() and ttl.isdigit()):
        raise Problem(400, "A message needs the header TTL, in seconds.")
    return min(int(ttl[:9]), LONGEST_TTL)


async def payload(request: web.Request) -> bytes:
    """The encrypted body. Raises Problem 400, 413 and 415."""
    if request.headers.get("Content-Encoding") != "aes128gcm":
        raise Problem(415, "A message must have Content-Encoding: aes128gcm.")
    body = await request.read()
    if len(body) > LARGEST:
        raise Problem(413, f"A message has at most {LARGEST} bytes.")
    return body


def show(store: Store, subscription: str, key: str, person: str, text: str) -> None:
    """Keep a message and its effect, which is one for each key, in the caller's transaction."""
    kind, order = kind_and_order(key, "push")
    known = key and store.execute("SELECT 1 FROM effects WHERE partner = 'push' AND key = ?", (key,)).fetchone()
    if not known:
        store.record_effect("push", kind, key, order)
    browser, shown = f"browser {subscription[:6]}", lines(text)
    store.keep_message(
        Message("push", browser, " · ".join(shown), "\n".join(shown).encode(), order=order, person=person, key=key)
    )


def lines(text: str) -> list[str]:
    """The strings of a JSON object; the lines of any other text."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        return text.splitlines()
    return [value for value in values.values() if isinstance(value, str)]
