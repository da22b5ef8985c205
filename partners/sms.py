"""The SMS provider. It accepts a message at once, and reports by webhook a second later what became of it.

A number that ends in 0000 does not exist. A phone with a number that ends in 1111 can't be reached.
"""

import secrets
import time
from collections import deque
from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import Field

from partners.problems import Problem
from partners.store import STORE, Message, Store
from partners.validation import Reference, Strict, Text, idempotency_key, kind_and_order, read
from partners.webhooks import WEBHOOKS, Webhooks

RATE = 30  # requests a second
REPORT_AFTER = 1.0  # seconds
UNKNOWN, UNREACHABLE = "0000", "1111"
RECENT: web.AppKey[deque[float]] = web.AppKey("recent", deque)
routes = web.RouteTableDef()


class Sms(Strict):
    """A text for a phone. `person` is the shop's name for its owner, for a later erasure."""

    to: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}\Z")]
    text: Text
    person: Reference = ""


@routes.post("/sms/messages")
async def send(request: web.Request) -> web.Response:
    """Answer with the message's id, by which a webhook reports on it. Raises Problem 400 and 429."""
    limit(request.app[RECENT])
    key, sms, store = idempotency_key(request), await read(request, Sms), request.app[STORE]
    if sms.to.endswith(UNKNOWN):
        raise Problem(400, "This number does not exist.")
    id = f"sms_{secrets.token_hex(8)}"
    effect = partial(accept, store, request.app[WEBHOOKS], id, key, sms)
    return web.json_response(store.once("sms", key, sms, {"id": id, "status": "accepted"}, effect), status=201)


def limit(recent: deque[float]) -> None:
    """Count a request. Raises Problem 429 above RATE in a second."""
    now = time.monotonic()
    while recent and recent[0] <= now - 1:
        recent.popleft()
    if len(recent) >= RATE:
        raise Problem(429, f"More than {RATE} requests in a second.")
    recent.append(now)


def accept(store: Store, webhooks: Webhooks, id: str, key: str, sms: Sms) -> None:
    """Keep the message, its effect and its report, in the caller's transaction."""
    kind, order = kind_and_order(key, "sms")
    store.record_effect("sms", kind, key, order)
    raw = sms.text.encode()
    store.keep_message(Message("sms", sms.to, sms.text, raw, order=order, person=sms.person, key=key))
    reached = not sms.to.endswith(UNREACHABLE)
    data = {"id": id, "key": key, "reason": "" if reached else "The phone can't be reached."}
    webhooks.record("sms", "message.delivered" if reached else "message.failed", data, id, REPORT_AFTER)
