"""The fraud review: it scores an order by its amount alone."""

from decimal import Decimal

from aiohttp import web

from partners.store import STORE
from partners.validation import Amount, Body, Currency, Text, idempotency_key, read

HOLD_FROM = Decimal(300)
routes = web.RouteTableDef()


class Review(Body):
    """An order to score."""

    amount: Amount
    currency: Currency
    country: Text


@routes.post("/fraud/reviews")
async def review(request: web.Request) -> web.Response:
    """Answer with one point for every 5 of the amount, and a hold from `HOLD_FROM`."""
    key, body = idempotency_key(request), await read(request, Review)
    amount = Decimal(body.amount)
    answer = {"verdict": "hold" if amount >= HOLD_FROM else "accept", "score": min(100, int(amount // 5))}
    return web.json_response(request.app[STORE].once("fraud", "review", key, body, answer))
