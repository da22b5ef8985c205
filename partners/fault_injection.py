"""Injects a partner's faults into its HTTP responses. Slow and truncated ones bypass aiohttp, which can't send them."""

import asyncio

from aiohttp import web

from partners.faults import PARTNERS
from partners.problems import Handler, Problem


@web.middleware
async def inject_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle a request to a partner as its faults say."""
    partner = request.app[PARTNERS].get(request.path.split("/")[1])
    if partner is None:
        return await handler(request)
    partner.count(request.transport)
    faults = partner.faults
    if faults.down:
        return drop(request)
    if faults.hang:
        await request.read()
        await until_closed(request)
        return web.Response()
    await asyncio.sleep(faults.latency_ms / 1000)
    if status := faults.failure(500):
        raise Problem(status, f"{partner.name}: injected fault.")
    response = await handler(request)
    if faults.accept_then_fail:
        raise Problem(500, f"{partner.name}: injected fault after the work was done.")
    if faults.garbage:
        return web.Response(text="<!doctype html><title>Have a nice day</title>", content_type="text/html")
    if faults.truncate or faults.trickle_ms:
        await send_broken(request, response, faults.trickle_ms, faults.truncate)
        return drop(request)
    return response


async def until_closed(request: web.Request) -> None:
    """Wait until the client closes the connection. aiohttp has no event for that."""
    while request.transport is not None:
        await asyncio.sleep(0.1)


def drop(request: web.Request) -> web.Response:
    """Abort the connection. aiohttp needs a response, and the client never gets it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def send_broken(request: web.Request, response: web.StreamResponse, pause_ms: int, truncate: bool) -> None:
    """Send a byte every `pause_ms`, or half of the body, and then wait on the half-closed connection."""
    body = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
    head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Length: {len(body)}\r\n"
    raw = f"{head}Content-Type: {response.content_type}\r\n\r\n".encode() + body
    if request.transport is None:
        return
    await trickle(request.transport, raw[: -len(body) // 2] if truncate else raw, pause_ms)
    if truncate and not request.transport.is_closing():
        request.transport.write_eof()
        await until_closed(request)


async def trickle(transport: asyncio.Transport, raw: bytes, pause_ms: int) -> None:
    """Write a byte every `pause_ms` while the connection is open; everything at once for 0."""
    size = 1 if pause_ms else len(raw)
    for start in range(0, len(raw), size):
        if not transport.is_closing():
            transport.write(raw[start : start + size])
            await asyncio.sleep(pause_ms / 1000)
