"""The warehouse, the fraud reviewers and the analytics collector: one effect for each key."""

import secrets
from decimal import Decimal
from typing import Any

from aiohttp import web

from partners import validation
from partners.problems import Problem
from partners.store import STORE

HOLD_FROM = Decimal(300)
COUNT = validation.whole(1, 100_000)
LINE: dict[str, validation.Check] = {"sku": validation.text, "name": validation.text, "quantity": COUNT}
routes = web.RouteTableDef()


def lines(value: Any) -> list[dict[str, Any]]:
    """A check for the lines of a shipment. Raises ValueError."""
    if not isinstance(value, list) or not 1 <= len(value) <= 1000:
        raise ValueError("must be a list of 1 to 1000 lines")
    for number, line in enumerate(value, start=1):
        try:
            validation.complete(line, LINE)
        except Problem as problem:
            raise ValueError(f"has a wrong line {number}: {problem.detail.rstrip('.')}") from None
    return value


SHIPMENT: dict[str, validation.Check] = {
    "order": validation.order,
    **dict.fromkeys(("name", "address", "city", "postcode", "country"), validation.text),
    "lines": lines,
}
REVIEW: dict[str, validation.Check] = {
    "order": validation.order,
    "amount": validation.money,
    "currency": validation.currency,
    "country": validation.text,
}
EVENT: dict[str, validation.Check] = {
    "event": validation.one_of("order_paid"),
    "order": validation.order,
    "amount": validation.money,
    "currency": validation.currency,
    "items": COUNT,
}


@routes.post("/warehouse/shipments")
async def ship(request: web.Request) -> web.Response:
    """Send the goods."""
    key = validation.idempotency_key(request)
    body = validation.complete(await validation.read(request), SHIPMENT)
    answer = {"id": f"ship_{secrets.token_hex(8)}", "tracking": f"BR{secrets.randbelow(10**10):010d}"}
    answer = request.app[STORE].once("warehouse", "shipment", key, body, answer)
    return web.json_response(answer, status=201)


@routes.post("/fraud/reviews")
async def review(request: web.Request) -> web.Response:
    """Judge an order by its amount alone: a point for every 5, on hold from 300."""
    key = validation.idempotency_key(request)
    body = validation.complete(await validation.read(request), REVIEW)
    amount = Decimal(body["amount"])
    answer = {"verdict": "hold" if amount >= HOLD_FROM else "accept", "score": min(100, int(amount // 5))}
    return web.json_response(request.app[STORE].once("fraud", "review", key, body, answer))


@routes.post("/analytics/events")
async def collect(request: web.Request) -> web.Response:
    """Take an event."""
    key = validation.idempotency_key(request)
    body = validation.complete(await validation.read(request), EVENT)
    answer = {"status": "accepted"}
    answer = request.app[STORE].once("analytics", body["event"], key, body, answer)
    return web.json_response(answer, status=202)
