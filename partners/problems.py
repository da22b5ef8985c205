"""Errors as problem+json (RFC 9457), and the guard against posts from other sites."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


class Problem(Exception):
    """A request that can't be served: an HTTP status and one sentence for whoever sent it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def response(self) -> web.Response:
        """The answer in the shape of RFC 9457. A 429 says when to come back, as real companies do."""
        known = self.status in HTTPStatus.__members__.values()
        title = HTTPStatus(self.status).phrase if known else "Error"
        return web.json_response(
            {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail},
            status=self.status,
            headers={"Retry-After": "2"} if self.status == 429 else None,
            content_type="application/problem+json",
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as problem+json, those of aiohttp itself too."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return Problem(error.status, f"{request.method} {request.path}: {error.reason}").response()
    except ConnectionError:
        return Problem(400, "The connection was lost before the request was complete.").response()
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return Problem(500, "The partners' process itself went wrong; its log says more.").response()


def is_address(name: str) -> bool:
    """Whether this is an IP address, and no name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@web.middleware
async def same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site's page makes a browser send. Programs send neither header and pass.

    And whoever comes by a name of the public internet: it may be another site's, that now points to this machine (DNS
    rebinding). Addresses, and names without a dot (localhost, a container's), can't be that.
    """
    name = request.url.host or ""
    if "." in name and not is_address(name):
        raise Problem(403, f"Nobody is known here as {name}: come by http://127.0.0.1 or a name without a dot.")
    if request.method not in ("GET", "HEAD"):
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin")
        if site not in ("same-origin", "none") or origin not in (
            None,
            f"http://{request.host}",
            f"https://{request.host}",
        ):
            raise Problem(403, "Only pages of this address may send this.")
    return await handler(request)
