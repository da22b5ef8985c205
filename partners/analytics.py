"""The analytics collector: it accepts events about orders."""

from functools import partial
from typing import Literal

from aiohttp import web

from partners.store import STORE
from partners.validation import Amount, Body, Count, Currency, idempotency_key, read

routes = web.RouteTableDef()


class Event(Body):
    """A paid order."""

    event: Literal["order_paid"]
    amount: Amount
    currency: Currency
    items: Count


@routes.post("/analytics/events")
async def collect(request: web.Request) -> web.Response:
    """Record one event for each key."""
    key, body, store = idempotency_key(request), await read(request, Event), request.app[STORE]
    effect = partial(store.record_effect, "analytics", body.event, key, body.order)
    return web.json_response(store.once("analytics", key, body, {"status": "accepted"}, effect), status=202)
