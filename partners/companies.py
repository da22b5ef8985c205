"""The warehouse, the fraud reviewers and the analytics collector: one effect for each key."""

import secrets
from decimal import Decimal
from typing import Any

from aiohttp import web

from partners import bodies
from partners.problems import Problem
from partners.store import STORE

HOLD_FROM = Decimal(300)
COUNT = bodies.whole(1, 100_000)
LINE: dict[str, bodies.Check] = {"sku": bodies.text, "name": bodies.text, "quantity": COUNT}
routes = web.RouteTableDef()


def lines(value: Any) -> list[dict[str, Any]]:
    """A check for the lines of a shipment. Raises ValueError."""
    if not isinstance(value, list) or not 1 <= len(value) <= 1000:
        raise ValueError("must be a list of 1 to 1000 lines")
    for number, line in enumerate(value, start=1):
        try:
            bodies.complete(line, LINE)
        except Problem as problem:
            raise ValueError(f"has a wrong line {number}: {problem.detail.rstrip('.')}") from None
    return value


SHIPMENT: dict[str, bodies.Check] = {
    "order": bodies.order,
    **dict.fromkeys(("name", "address", "city", "postcode", "country"), bodies.text),
    "lines": lines,
}
REVIEW: dict[str, bodies.Check] = {
    "order": bodies.order,
    "amount": bodies.money,
    "currency": bodies.currency,
    "country": bodies.text,
}
EVENT: dict[str, bodies.Check] = {
    "event": bodies.one_of("order_paid"),
    "order": bodies.order,
    "amount": bodies.money,
    "currency": bodies.currency,
    "items": COUNT,
}


@routes.post("/warehouse/shipments")
async def ship(request: web.Request) -> web.Response:
    """Send the goods."""
    key = bodies.idempotency_key(request)
    body = bodies.complete(await bodies.read(request), SHIPMENT)
    answer = {"id": f"ship_{secrets.token_hex(8)}", "tracking": f"BR{secrets.randbelow(10**10):010d}"}
    answer = request.app[STORE].once("warehouse", "shipment", key, body, answer)
    return web.json_response(answer, status=201)


@routes.post("/fraud/reviews")
async def review(request: web.Request) -> web.Response:
    """Judge an order by its amount alone: a point for every 5, on hold from 300."""
    key = bodies.idempotency_key(request)
    body = bodies.complete(await bodies.read(request), REVIEW)
    amount = Decimal(body["amount"])
    answer = {"verdict": "hold" if amount >= HOLD_FROM else "accept", "score": min(100, int(amount // 5))}
    return web.json_response(request.app[STORE].once("fraud", "review", key, body, answer))


@routes.post("/analytics/events")
async def collect(request: web.Request) -> web.Response:
    """Take an event."""
    key = bodies.idempotency_key(request)
    body = bodies.complete(await bodies.read(request), EVENT)
    answer = {"status": "accepted"}
    answer = request.app[STORE].once("analytics", body["event"], key, body, answer)
    return web.json_response(answer, status=202)
