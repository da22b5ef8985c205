"""The warehouse: it ships an order's goods once for each key, and reports by webhook when they leave and arrive."""

import json
import secrets
from collections.abc import Mapping
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from partners.problems import Problem
from partners.store import STORE, Store
from partners.validation import Body, Count, Strict, Text, idempotency_key, read, utc
from partners.webhooks import WEBHOOKS, Webhooks

Event = Literal["shipment.shipped", "shipment.delivered"]
# Seconds from the request to each event; an event that is missing is never sent by itself.
AFTER: web.AppKey[Mapping[Event, float]] = web.AppKey("after", dict)
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


class Report(Strict):
    """An event to send at will, dated now or at any time."""

    type: Event
    at: str = ""


@routes.post("/warehouse/shipments")
async def ship(request: web.Request) -> web.Response:
    """Answer with an id and a tracking number."""
    key, body, store, webhooks = (
        idempotency_key(request), await read(request, Shipment), request.app[STORE], request.app[WEBHOOKS]
    )  # fmt: skip
    answer = {"id": f"ship_{secrets.token_hex(8)}", "tracking": f"BR{secrets.randbelow(10**10):010d}"}

    def effect() -> None:
        store.record_effect("warehouse", "shipment", key, body.order)
        for event, seconds in request.app[AFTER].items():
            report(webhooks, event, body.order, answer["tracking"], seconds)

    return web.json_response(store.once("warehouse", key, body, answer, effect), status=201)


def report(webhooks: Webhooks, event: Event, order: str, tracking: str, after: float = 0.0, at: str = "") -> str:
    """Keep an event in the caller's transaction. Returns its id, or "" if the warehouse has no secret."""
    return webhooks.record("warehouse", event, {"order": order, "tracking": tracking}, order, after, at)


@routes.post("/warehouse/shipments/{order:[A-Za-z0-9-]{1,40}}/events")
async def send_event(request: web.Request) -> web.Response:
    """Send an event of a shipment at once. Raises Problem 404 and 409."""
    order, wanted = request.match_info["order"], await read(request, Report)
    at, tracking = utc("at", wanted.at), tracking_of(request.app[STORE], order)
    id = report(request.app[WEBHOOKS], wanted.type, order, tracking, at=at)
    if not id:
        raise Problem(409, "WAREHOUSE_WEBHOOK_SECRET is not set, so the warehouse sends no webhooks.")
    return web.json_response({"id": id}, status=202)


def tracking_of(store: Store, order: str) -> str:
    """The tracking number of an order's latest shipment that had a key. Raises Problem 404."""
    row = store.execute(
        """SELECT answer FROM answers JOIN effects USING (partner, key)
           WHERE partner = 'warehouse' AND order_number = ? ORDER BY effects.id DESC""",
        (order,),
    ).fetchone()
    if row is None:
        raise Problem(404, f"The warehouse has no shipment of order {order}.")
    return json.loads(row["answer"])["tracking"]
