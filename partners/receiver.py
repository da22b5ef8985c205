"""The receiver of webhooks, as a customer of the shop has one: it keeps what comes, and says whether it is signed.

Each receiver has a name, and answers as its behaviour says. `PUT /receivers/<name>` sets it, also the secret of the
shop's endpoint. Both survive a restart; a reset deletes them. The faults of the partner `receiver` hit all of them.
"""

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import Field
from standardwebhooks import Webhook

from partners import pages
from partners.fault_injection import until_closed
from partners.faults import Milliseconds
from partners.store import STORE, Store, timestamp
from partners.validation import Strict, read, validate

NAME = "{name:[A-Za-z0-9-]{1,40}}"
LATEST = 50
KEPT = 10_000  # newest deliveries
SHOWN = 2000  # characters of a body
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
Signature = Literal["valid", "wrong", "unchecked"]
routes = web.RouteTableDef()


class Behaviour(Strict):
    """How a receiver answers: by default it accepts."""

    secret: Annotated[str, Field(pattern=r"^(whsec_[A-Za-z0-9+/=]{32,88})?\Z")] = ""
    status: Annotated[int, Field(ge=200, le=599)] = 204
    delay_ms: Milliseconds = 0
    hang: bool = False  # accept the request, never answer
    redirect: Annotated[str, Field(pattern=r"^[!-~]{0,500}\Z")] = ""  # the Location of a status such as 302
    body: Annotated[str, Field(max_length=SHOWN)] = ""
    size: Annotated[int, Field(ge=0, le=50_000_000)] = 0  # bytes that follow the body


@routes.post(f"/receiver/{NAME}")
async def receive(request: web.Request) -> web.Response:
    """Keep the webhook, then answer. So it is kept, too, if its sender does not wait for the answer."""
    store, name, raw = request.app[STORE], request.match_info["name"], await request.read()
    behaviour = behaviour_of(store, name)
    keep(store, name, request, raw, behaviour)
    if behaviour.hang:
        await until_closed(request)
    await asyncio.sleep(behaviour.delay_ms / 1000)
    headers = {"Location": behaviour.redirect} if behaviour.redirect else None
    body = behaviour.body.encode() + b"." * behaviour.size
    return web.Response(status=behaviour.status, headers=headers, body=body or None)


@routes.put(f"/receivers/{NAME}")
async def put_behaviour(request: web.Request) -> web.Response:
    """Set all of one receiver's behaviour. What the body leaves out is the default."""
    behaviour = await read(request, Behaviour)
    save(request.app[STORE], request.match_info["name"], behaviour)
    return web.json_response(behaviour.model_dump())


@routes.get(f"/receivers/{NAME}")
async def show(request: web.Request) -> web.Response:
    """The behaviour, the number of all deliveries, and the newest ones first."""
    store, name = request.app[STORE], request.match_info["name"]
    count = store.execute("SELECT count(*) FROM deliveries WHERE name = ?", (name,)).fetchone()[0]
    answer = {"behaviour": behaviour_of(store, name).model_dump(), "count": count, "deliveries": latest(store, name)}
    return web.json_response(answer)


@routes.get("/receivers")
async def page(request: web.Request) -> web.Response:
    store, name = request.app[STORE], request.query.get("name", "").strip()
    known = store.execute("SELECT name FROM receivers UNION SELECT name FROM deliveries ORDER BY 1").fetchall()
    return pages.render(
        "receivers.html",
        title="Receivers",
        names=[row["name"] for row in known],
        name=name,
        behaviour=behaviour_of(store, name),
        address=f"{request.url.origin()}/receiver/",
        deliveries=latest(store, name),
        latest=LATEST,
        readable=pages.readable,
    )


@routes.post("/desk/receivers")
async def behaviour_form(request: web.Request) -> web.Response:
    """The page's form. Its fields are text, and an empty one is the default."""
    form = {name: text for name, text in parse_qsl((await request.read()).decode(errors="replace")) if text}
    name = validate(Named, {"name": form.pop("name", "")}).name
    save(request.app[STORE], name, validate(Behaviour, form, strict=False))
    raise web.HTTPSeeOther(f"/receivers?name={name}")


class Named(Strict):
    """A receiver's name in a form."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}\Z")]


def behaviour_of(store: Store, name: str) -> Behaviour:
    row = store.execute("SELECT behaviour FROM receivers WHERE name = ?", (name,)).fetchone()
    return Behaviour.model_validate_json(row["behaviour"]) if row else Behaviour()


def save(store: Store, name: str, behaviour: Behaviour) -> None:
    store.execute("INSERT OR REPLACE INTO receivers VALUES (?, ?)", (name, behaviour.model_dump_json()))


def keep(store: Store, name: str, request: web.Request, raw: bytes, behaviour: Behaviour) -> None:
    """Insert a delivery, and delete the oldest one beyond KEPT."""
    values = (timestamp(), name, request.headers.get("webhook-id", ""), signature(request, raw, behaviour.secret))
    text = raw.decode(errors="replace")[:SHOWN]
    with store.transaction():
        store.execute(
            "INSERT INTO deliveries (at, name, event, signature, body) VALUES (?, ?, ?, ?, ?)", (*values, text)
        )
        store.execute("DELETE FROM deliveries WHERE number = last_insert_rowid() - ?", (KEPT,))


def signature(request: web.Request, raw: bytes, secret: str) -> Signature:
    """Whether the shop signed this body, under this id and now; "unchecked" without a secret."""
    if not secret:
        return "unchecked"
    try:
        Webhook(secret).verify(raw, {name: request.headers.get(name, "") for name in HEADERS}, json_parse=False)
    except Exception:  # the library raises errors of any type
        return "wrong"
    return "valid"


def latest(store: Store, name: str) -> list[dict[str, Any]]:
    """The newest deliveries of one receiver; of all for "" ."""
    rows = store.execute(
        "SELECT at, name, event, signature, body FROM deliveries WHERE ? IN ('', name) ORDER BY number DESC LIMIT ?",
        (name, LATEST),
    )
    return [dict(row) for row in rows]
