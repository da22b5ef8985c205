"""Errors as problem+json (RFC 9457), and the guard against posts from other sites."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


class Problem(Exception):
    """A request that can't be served: an HTTP status, and one sentence for the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def response(self) -> web.Response:
        """The response of RFC 9457. A 429 has a Retry-After header, as real services send it."""
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
    """Answer every error with problem+json, also aiohttp's own."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = Problem(error.status, f"{request.method} {request.path}: {error.reason}").response()
        if "Allow" in error.headers:  # RFC 9110: a 405 must have it
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        return Problem(400, "The connection was lost before the request was complete.").response()
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return Problem(500, "Internal error of the partners process. See its log.").response()


def is_local(host: str) -> bool:
    """Whether the host is an IP address, or a name without a dot: localhost, or a container's name."""
    with suppress(ValueError):
        return bool(ip_address(host))
    return "." not in host


@web.middleware
async def same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject requests that another site's page makes a browser send. Programs send neither header and pass.

    A public name in Host is rejected too: another site may point its name to this machine (DNS rebinding).
    """
    if not is_local(request.url.host or ""):
        raise Problem(403, f"The host {request.url.host} is not allowed. Use http://127.0.0.1 or a name without a dot.")
    if request.method not in ("GET", "HEAD"):
        own = (None, f"http://{request.host}", f"https://{request.host}")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") or request.headers.get("Origin") not in own:
            raise Problem(403, "This request must come from a page of the same origin.")
    return await handler(request)
