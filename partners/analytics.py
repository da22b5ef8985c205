"""The analytics collector: it accepts events about orders."""

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
    key, body = idempotency_key(request), await read(request, Event)
    answer = request.app[STORE].once("analytics", body.event, key, body, {"status": "accepted"})
    return web.json_response(answer, status=202)
