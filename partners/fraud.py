"""The fraud review: it scores an order by its amount alone."""

from decimal import Decimal
from functools import partial

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
    key, body, store = idempotency_key(request), await read(request, Review), request.app[STORE]
    amount = Decimal(body.amount)
    answer = {"verdict": "hold" if amount >= HOLD_FROM else "accept", "score": min(100, int(amount // 5))}
    effect = partial(store.record_effect, "fraud", "review", key, body.order)
    return web.json_response(store.once("fraud", key, body, answer, effect))
