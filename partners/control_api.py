"""The control API and its page: faults, effects, messages, webhooks, traffic and reset."""

import json
from contextlib import aclosing
from typing import Annotated
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import Field

from partners import pages
from partners.faults import PARTNERS, Faults, Partner
from partners.payments import approve_due
from partners.problems import Problem
from partners.sms import RECENT
from partners.store import FILTERS, STORE
from partners.validation import Strict, read, utc, validate
from partners.webhooks import SENDERS, WEBHOOKS

INBOX_PORT = web.AppKey("inbox_port", int)
LATEST = 50
SWITCHES = {
    "hang": "Hang: accept the request, never answer",
    "down": "Down: drop the connection",
    "accept_then_fail": "Fail: do the work, then answer with an error",
    "truncate": "Truncate: do the work, then stop halfway through the response",
    "garbage": "Garbage: do the work, then send an invalid response",
}
WEBHOOK_SWITCHES = {
    "webhook_repeat": "Webhooks: send each three times",
    "webhook_reorder": "Webhooks: send a later one first",
    "webhook_forge": "Webhooks: send a forged one first",
}
routes = web.RouteTableDef()


class Receiver(Strict):
    """Where the shop takes webhooks, without `/webhooks/…`."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+\Z")]


def partner_of(request: web.Request) -> Partner:
    """The partner named in the path. Raises Problem 404."""
    partners, name = request.app[PARTNERS], request.match_info["partner"]
    if name not in partners:
        raise Problem(404, f"There is no partner {name}. There are {', '.join(partners)}.")
    return partners[name]


def reset(request: web.Request) -> None:
    """Clear all faults and counters, and delete all effects, messages, browsers and webhooks."""
    for partner in request.app[PARTNERS].values():
        partner.reset()
    request.app[STORE].reset()
    request.app[RECENT].clear()


@routes.get("/faults/{partner}")
async def show_faults(request: web.Request) -> web.Response:
    return web.json_response(partner_of(request).faults.model_dump())


@routes.put("/faults/{partner}")
async def put_faults(request: web.Request) -> web.Response:
    """Set all faults of one partner. A fault that the body leaves out is off."""
    partner = partner_of(request)
    partner.faults = await read(request, Faults)
    return web.json_response(partner.faults.model_dump())


@routes.get("/effects")
async def effects(request: web.Request) -> web.StreamResponse:
    """Stream all effects. `partner`, `order`, `key` and `since` (an ISO 8601 time) filter them."""
    store = request.app[STORE]
    approve_due(store)
    wanted = {name: request.query.get(name, "") for name in FILTERS}
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    async with aclosing(store.batches(**wanted | {"since": utc("since", wanted["since"])})) as batches:
        await response.prepare(request)
        await response.write(b'{"effects": [')
        comma = ""
        async for rows in batches:
            await response.write((comma + json.dumps(rows)[1:-1]).encode())
            comma = ", "
    await response.write(b"]}")
    return response


@routes.get("/messages")
async def messages(request: web.Request) -> web.Response:
    """The newest messages to people, as text. `channel` (mail, sms or push) and `key` filter them."""
    wanted = {name: request.query.get(name, "") for name in ("channel", "key")}
    rows = request.app[STORE].execute(
        """SELECT id, at, channel, key, recipients AS "to", subject, person,
                  CASE channel WHEN 'mail' THEN '' ELSE CAST(raw AS TEXT) END AS text FROM mails
           WHERE :channel IN ('', channel) AND :key IN ('', key) ORDER BY id DESC LIMIT :latest""",
        {**wanted, "latest": LATEST},
    )
    return web.json_response({"messages": [dict(row) for row in rows]})


@routes.get("/webhooks")
async def webhooks(request: web.Request) -> web.Response:
    """The events that the shop has not accepted yet."""
    return web.json_response({"webhooks": request.app[WEBHOOKS].pending()})


@routes.put("/webhooks")
async def put_receiver(request: web.Request) -> web.Response:
    """Send webhooks to another address from now on, until the process ends."""
    receiver = await read(request, Receiver)
    request.app[WEBHOOKS].url = receiver.url
    return web.json_response(receiver.model_dump())


@routes.get("/traffic")
async def traffic(request: web.Request) -> web.Response:
    """The requests and connections of each partner since the start or the last reset."""
    return web.json_response({name: partner.traffic() for name, partner in request.app[PARTNERS].items()})


@routes.post("/reset")
async def post_reset(request: web.Request) -> web.Response:
    reset(request)
    return web.json_response({"status": "reset"})


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """200 if the process and its store work."""
    request.app[STORE].execute("SELECT 1 FROM effects LIMIT 1")
    return web.json_response({"status": "ok"})


@routes.get("/")
async def page(request: web.Request) -> web.Response:
    store, order = request.app[STORE], request.query.get("order", "").strip()
    approve_due(store)
    return pages.render(
        "partners.html",
        title="Partners",
        partners=request.app[PARTNERS].values(),
        healthy=Faults(),
        switches=SWITCHES,
        webhook_switches=WEBHOOK_SWITCHES,
        senders=SENDERS,
        webhooks=request.app[WEBHOOKS].pending(LATEST),
        effects=store.effects(order=order, latest=LATEST),
        readable=pages.readable,
        order=order,
        latest=LATEST,
        inbox=f"http://{request.url.host}:{request.app[INBOX_PORT]}/",
    )


@routes.post("/desk/reset")
async def reset_form(request: web.Request) -> web.Response:
    reset(request)
    raise web.HTTPSeeOther("/")


@routes.post("/desk/{partner}")
async def faults_form(request: web.Request) -> web.Response:
    """The page's form for one partner. Its fields are text, and an empty one is off."""
    partner = partner_of(request)
    form = dict(parse_qsl((await request.read()).decode(errors="replace")))
    partner.faults = Faults() if "heal" in form else validate(Faults, form, strict=False)
    raise web.HTTPSeeOther(f"/#{partner.name}")
