"""Forgetting a person, by the partners that hold one: by an order, or by the shop's name for the person.

Effects stay: they name the order or a key, and an audit needs them. A request may come again, so it needs no key.
A bounce that the shop has not accepted keeps its address for up to three days.
"""

from aiohttp import web

from partners.problems import Problem
from partners.store import STORE
from partners.validation import Reference, Strict, read

# The hash of what was sent; a repeated request with this key is refused from now on.
FORGET_SHIPMENT = """UPDATE answers SET fingerprint = '' WHERE partner = 'warehouse'
    AND key IN (SELECT key FROM effects WHERE partner = 'warehouse' AND order_number = ?)"""
FORGET_ANSWERS = """UPDATE answers SET fingerprint = '' WHERE partner = :channel
    AND key IN (SELECT key FROM mails WHERE channel = :channel AND {column} = :wanted)"""
FORGET_MESSAGES = "DELETE FROM mails WHERE channel = :channel AND {column} = :wanted"
routes = web.RouteTableDef()


class Erasure(Strict):
    """Whom to forget: an order's customer, or a person."""

    order: Reference = ""
    person: Reference = ""


@routes.post("/{partner:mail|sms|push|warehouse}/erasures")
async def erase(request: web.Request) -> web.Response:
    """Also 200 if nothing is kept."""
    wanted, store, partner = await read(request, Erasure), request.app[STORE], request.match_info["partner"]
    if bool(wanted.order) == bool(wanted.person) or (partner == "warehouse" and wanted.person):
        raise Problem(422, "Name an order, or a person, whom the warehouse does not know.")
    column = "order_number" if wanted.order else "person"
    named = {"channel": partner, "wanted": wanted.order or wanted.person}
    with store.transaction():
        if partner == "warehouse":
            store.execute(FORGET_SHIPMENT, (wanted.order,))
        else:
            store.execute(FORGET_ANSWERS.format(column=column), named)
            store.execute(FORGET_MESSAGES.format(column=column), named)
    return web.json_response({"status": "erased"})
