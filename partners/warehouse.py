"""The warehouse: it ships an order's goods once for each key."""

import secrets
from typing import Annotated

from aiohttp import web
from pydantic import Field

from partners.store import STORE
from partners.validation import Body, Count, Strict, Text, idempotency_key, read

routes = web.RouteTableDef()


class Line(Strict):
    """One product of a shipment."""

    sku: Text
    name: Text
    quantity: Count


class Shipment(Body):
    """What to send, and where to."""

    name: Text
    address: Text
    city: Text
    postcode: Text
    country: Text
    lines: Annotated[list[Line], Field(min_length=1, max_length=1000)]


@routes.post("/warehouse/shipments")
async def ship(request: web.Request) -> web.Response:
    """Answer with an id and a tracking number."""
    key, body = idempotency_key(request), await read(request, Shipment)
    answer = {"id": f"ship_{secrets.token_hex(8)}", "tracking": f"BR{secrets.randbelow(10**10):010d}"}
    return web.json_response(request.app[STORE].once("warehouse", "shipment", key, body, answer), status=201)
