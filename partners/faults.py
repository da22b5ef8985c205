"""Faults to order: what each partner does wrong from now on. Kept in memory only, so a restart heals.

latency_ms        waits so long before doing anything
error_rate        this share of requests fails, 0 to 1, and no work is done for them
status            the status of those failures (HTTP 500, SMTP 451 by default); alone: every request fails
hang              takes the request and never answers
down              drops the connection without an answer
accept_then_fail  does the work and then answers with a failure
trickle_ms        does the work and then answers a byte each so many milliseconds, headers too: a slow loris
truncate          does the work and then breaks off in the middle of the answer, one way only: half-closed
garbage           does the work and then answers with what makes no sense: a web page, or a line that is no reply
"""

import asyncio
import random
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakSet

from aiohttp import web

from partners import validation
from partners.fault_injection import spoil
from partners.problems import Handler, Problem

NAMES = ("payments", "warehouse", "fraud", "analytics", "mail")


def switch(value: Any) -> bool:
    """A check for true or false. Raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def share(value: Any) -> float:
    """A check for a share between 0 and 1. Raises ValueError."""
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def failure_status(value: Any) -> int | None:
    """A check for a status that says no, or null. Raises ValueError."""
    if value is not None and (type(value) is not int or not 400 <= value <= 599):
        raise ValueError("must be a status from 400 to 599, or null")
    return value


@dataclass(frozen=True)
class Faults:
    """The switches of one partner, all off by default."""

    latency_ms: int = 0
    error_rate: float = 0.0
    status: int | None = None
    hang: bool = False
    down: bool = False
    accept_then_fail: bool = False
    trickle_ms: int = 0
    truncate: bool = False
    garbage: bool = False

    @classmethod
    def parse(cls, body: object) -> "Faults":
        """From a JSON object; what it does not name is off. Raises Problem 422."""
        return cls(**validation.fields(body, CHECKS))

    def failure(self, default: int) -> int | None:
        """The status with which this one request fails without work, or None."""
        rate = self.error_rate or float(self.status is not None)
        return (self.status or default) if random.random() < rate else None  # noqa: S311 - no secret


CHECKS: dict[str, validation.Check] = {
    "latency_ms": validation.whole(0, 600_000),
    "error_rate": share,
    "status": failure_status,
    "hang": switch,
    "down": switch,
    "accept_then_fail": switch,
    "trickle_ms": validation.whole(0, 600_000),
    "truncate": switch,
    "garbage": switch,
}


@dataclass
class Partner:
    """One company: its faults, and what reached it since the process started or was reset."""

    name: str
    faults: Faults = field(default_factory=Faults)
    requests: int = 0
    connections: int = 0
    seen: WeakSet[asyncio.BaseTransport] = field(default_factory=WeakSet)

    def arrived(self, transport: asyncio.BaseTransport | None) -> None:
        """Count a request, and its connection where it is the first one on it."""
        self.requests += 1
        if transport is not None and transport not in self.seen:
            self.seen.add(transport)
            self.connections += 1

    def traffic(self) -> dict[str, int]:
        """The counters."""
        return {"requests": self.requests, "connections": self.connections}

    def switches(self) -> dict[str, Any]:
        """The faults as JSON."""
        return asdict(self.faults)

    def reset(self) -> None:
        """Heal, and count from zero."""
        self.faults, self.requests, self.connections = Faults(), 0, 0
        self.seen.clear()


PARTNERS: web.AppKey[dict[str, Partner]] = web.AppKey("partners", dict)


@web.middleware
async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request to a company through to its handler, or not, as that company's faults say."""
    partner = request.app[PARTNERS].get(request.path.split("/")[1])
    if partner is None:
        return await handler(request)
    partner.arrived(request.transport)
    faults = partner.faults
    if faults.down:
        return hang_up(request)
    if faults.hang:
        await request.read()
        while request.transport is not None:  # until the client goes: aiohttp tells nobody when that is
            await asyncio.sleep(0.1)
        return web.Response()
    await asyncio.sleep(faults.latency_ms / 1000)
    status = faults.failure(500)
    if status:
        raise Problem(status, f"{partner.name} fails because its fault switches say so.")
    answer = await handler(request)
    if faults.accept_then_fail:
        raise Problem(500, f"{partner.name} did the work and fails now, because its fault switches say so.")
    if faults.garbage:
        return web.Response(text="<!doctype html><title>Have a nice day</title>", content_type="text/html")
    if faults.truncate or faults.trickle_ms:
        await spoil(request, answer, faults.trickle_ms, faults.truncate)
        return hang_up(request)
    return answer


def hang_up(request: web.Request) -> web.Response:
    """Drop the connection; the response is for aiohttp only and reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
