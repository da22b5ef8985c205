"""Answers that come too slowly, or only in part, written past aiohttp, which knows no such things."""

import asyncio

from aiohttp import web


async def spoil(request: web.Request, answer: web.StreamResponse, pause_ms: int, truncate: bool) -> None:
    """Answer a byte each `pause_ms`, or break off in the middle of the body and say no more without hanging up."""
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Length: {len(body)}\r\n"
    raw = f"{head}Content-Type: {answer.content_type}\r\n\r\n".encode() + body
    if request.transport is None:
        return
    await trickle(request.transport, raw[: -len(body) // 2] if truncate else raw, pause_ms)
    if truncate and not request.transport.is_closing():
        request.transport.write_eof()  # half-closed: the other side may still speak
        while request.transport is not None:
            await asyncio.sleep(0.1)


async def trickle(transport: asyncio.Transport, raw: bytes, pause_ms: int) -> None:
    """Write a byte each `pause_ms`, as long as somebody listens; all at once for 0."""
    size = 1 if pause_ms else len(raw)
    for start in range(0, len(raw), size):
        if not transport.is_closing():
            transport.write(raw[start : start + size])
            await asyncio.sleep(pause_ms / 1000)
