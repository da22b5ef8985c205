"""The supplier: a list of what it delivers, as a feed of changes that a client reads page by page.

A cursor is opaque to the client. One without a position begins a run; the next ones go on behind the last item, by
its name. Every page of a run has the run's watermark: the number of the newest change when the run began. With it the
next run begins. So an item that changes during a run comes now, or in the next run, or in both, and is never missed.

`PUT /supplies` changes items, also while faults hit the feed. A reset deletes them, and a cursor of before gets 410.
"""

import re
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from partners.problems import Problem
from partners.store import STORE, Store
from partners.validation import Amount, Strict, read

MOST = 500  # items of a page
CURSOR = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15})\.(.{1,50}))?")
PAGE = """
SELECT sku, delivered, price, version FROM supplies WHERE version > ? AND sku > ? ORDER BY sku LIMIT ?"""
CHANGE = """
INSERT INTO supplies (sku, delivered, price, version) VALUES (?, ?, ?, ?) ON CONFLICT (sku) DO UPDATE
SET delivered = excluded.delivered, price = excluded.price, version = excluded.version"""
routes = web.RouteTableDef()


class Item(Strict):
    """One product. `delivered` counts all pieces that were ever delivered; `price` is the recommended one."""

    sku: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,50}\Z")]
    delivered: Annotated[int, Field(ge=0, le=10**12)]
    price: Amount


class Items(Strict):
    """Changes to make at once."""

    items: Annotated[list[Item], Field(min_length=1, max_length=2000)]


@routes.get("/supplier/changes")
async def changes(request: web.Request) -> web.Response:
    """A page of the feed, or 304 if it is the one with this ETag. Raises Problem 410 and 422."""
    store, limit = request.app[STORE], request.query.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST):
        raise Problem(422, f"limit must be a number from 1 to {MOST}.")
    since, watermark, after = position(store, request.query.get("cursor", ""))
    tag = f'"{since}-{watermark}-{newest(store)}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    rows = [dict(row) for row in store.execute(PAGE, (since, after, int(limit) + 1))]
    items, more = rows[: int(limit)], len(rows) > int(limit)
    following = f"{since}.{watermark}.{items[-1]['sku']}" if more else ""
    answer = {"items": items, "next": following, "watermark": str(watermark)}
    return web.json_response(answer, headers={"ETag": tag})


def position(store: Store, cursor: str) -> tuple[int, int, str]:
    """The change behind which the run begins, the run's watermark, and the item behind which its page begins. Raises
    Problem 410 for a cursor of before a reset, and 422."""
    found = CURSOR.fullmatch(cursor or "0")
    if not found:
        raise Problem(422, "This is no cursor of ours.")
    since, watermark = int(found[1]), int(found[2] or newest(store))
    if max(since, watermark) > newest(store):
        raise Problem(410, "This cursor is of another feed. Begin anew, without a cursor.")
    return since, watermark, found[3] or ""


def newest(store: Store) -> int:
    """The number of the newest change."""
    return store.execute("SELECT coalesce(max(version), 0) FROM supplies").fetchone()[0]


@routes.put("/supplies")
async def put_supplies(request: web.Request) -> web.Response:
    """Change items, or add them: one change each, in this order."""
    store, wanted = request.app[STORE], await read(request, Items)
    with store.transaction():
        for version, item in enumerate(wanted.items, newest(store) + 1):
            store.execute(CHANGE, (item.sku, item.delivered, item.price, version))
    return web.json_response({"watermark": str(newest(store))})


@routes.get("/supplies")
async def supplies(request: web.Request) -> web.Response:
    """All items."""
    rows: list[dict[str, Any]] = [dict(row) for row in request.app[STORE].execute(PAGE, (-1, "", -1))]
    return web.json_response({"items": rows})
