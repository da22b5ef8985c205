"""Faults that can be switched on for each partner. They live in memory, so a restart clears them.

latency_ms        waits this long before doing anything
error_rate        fails this share of requests, 0 to 1, without doing the work
status            the status of those failures (default: HTTP 500, SMTP 451); alone, it fails every request
hang              accepts the request and never answers
down              drops the connection without an answer
accept_then_fail  does the work, then answers with a failure
trickle_ms        does the work, then sends one byte of the response at this interval (slow loris)
truncate          does the work, then stops in the middle of the response and leaves the connection half-closed
garbage           does the work, then sends a web page, or a line that is no SMTP reply

Of a partner that sends webhooks:
webhook_repeat    sends each event three times
webhook_reorder   sends an event after the later ones about the same thing
webhook_forge     sends each event with a wrong date and a wrong signature first
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Annotated
from weakref import WeakSet

from aiohttp import web
from pydantic import Field

from partners.validation import Strict

NAMES = (
    "payments", "warehouse", "fraud", "analytics", "mail", "sms", "push", "supplier", "accounting", "receiver",
)  # fmt: skip
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]


class Faults(Strict):
    """The faults of one partner, all off by default."""

    latency_ms: Milliseconds = 0
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    hang: bool = False
    down: bool = False
    accept_then_fail: bool = False
    trickle_ms: Milliseconds = 0
    truncate: bool = False
    garbage: bool = False
    webhook_repeat: bool = False
    webhook_reorder: bool = False
    webhook_forge: bool = False

    def failure(self, default: int) -> int | None:
        """The status with which this request fails without work, or None."""
        rate = self.error_rate or float(self.status is not None)
        return (self.status or default) if random.random() < rate else None  # noqa: S311 - not a secret


@dataclass
class Partner:
    """One partner: its faults, and its traffic since the start or the last reset."""

    name: str
    faults: Faults = field(default_factory=Faults)
    requests: int = 0
    connections: int = 0
    seen: WeakSet[asyncio.BaseTransport] = field(default_factory=WeakSet)

    def count(self, transport: asyncio.BaseTransport | None) -> None:
        """Count a request, and its connection if it is the first one on it."""
        self.requests += 1
        if transport is not None and transport not in self.seen:
            self.seen.add(transport)
            self.connections += 1

    def traffic(self) -> dict[str, int]:
        return {"requests": self.requests, "connections": self.connections}

    def reset(self) -> None:
        self.faults, self.requests, self.connections = Faults(), 0, 0
        self.seen.clear()


PARTNERS: web.AppKey[dict[str, Partner]] = web.AppKey("partners", dict)
