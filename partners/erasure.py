"""Forgetting the person of an order, by the partners that hold one: the mail server and the warehouse.

Their effects stay: they name the order, and an audit needs them. A request may come again, so it needs no key.
"""

from aiohttp import web

from partners.store import STORE
from partners.validation import Body, read

FORGET = {
    "mail": "DELETE FROM mails WHERE order_number = ?",
    # The hash of an address; a repeated request with this key is refused from now on.
    "warehouse": """UPDATE answers SET fingerprint = '' WHERE partner = 'warehouse'
        AND key IN (SELECT key FROM effects WHERE partner = 'warehouse' AND order_number = ?)""",
}
routes = web.RouteTableDef()


@routes.post("/{partner:mail|warehouse}/erasures")
async def erase(request: web.Request) -> web.Response:
    """Also 200 if nothing is kept."""
    order, store = (await read(request, Body)).order, request.app[STORE]
    with store.transaction():
        store.execute(FORGET[request.match_info["partner"]], (order,))
    return web.json_response({"status": "erased"})
