"""Limits on requests, BACKROOM_LIMITS: requests in some seconds, for each client or mail address, in the whole fleet.

Their state is beside the breakers', in BACKROOM_REDIS_URL or the broker; each step is one script there (limits.lua). A
key holds a hash and no address. If that server is away, every request passes: customers order without it, and staff
sign in to repair it.
"""

import math
from pathlib import Path

from django.dispatch import Signal
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from backroom.conf import conf
from backroom.runtime import scripts

SCRIPT = Path(__file__).with_suffix(".lua").read_text()
reached = Signal()  # arguments: request, limit


class LimitReached(Exception):
    """`seconds` until the next request may pass. The text is for the client."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        minutes = math.ceil(seconds / 60)
        wait = f"{minutes} minutes" if minutes > 1 else f"{self.seconds} seconds" if self.seconds > 1 else "a second"
        super().__init__(f"Too many requests. Try again in {wait}.")


def take(request: HttpRequest, number: int = 1, /, **subjects: str) -> None:
    """Count the request for these limits, each with the subject that it is for; an empty one is not limited. Raises
    LimitReached, and counts nothing, if one is full. The last one may pass with a number over what is left."""
    _refuse(request, _step(number, subjects))


def check(request: HttpRequest, **subjects: str) -> None:
    """As `take`, but count nothing."""
    _refuse(request, _step(0, subjects))


def count(number: int = 1, /, **subjects: str) -> None:
    """Count what a request has done, or give back what it took: a number below 0. Of requests at the same moment, a few
    more than the limit may pass `check`."""
    _step(number, subjects)


def _refuse(request: HttpRequest, full: tuple[str, float] | None) -> None:
    if full:
        reached.send(None, request=request, limit=full[0])
        raise LimitReached(full[1])


def _step(number: int, subjects: dict[str, str]) -> tuple[str, float] | None:
    """The limit that is full, and the seconds until it is not."""
    names = [name for name, subject in subjects.items() if subject and name in conf.LIMITS]
    keys = [f"backroom:limit:{name}:{salted_hmac(name, subjects[name]).hexdigest()}" for name in names]
    amounts = [part for name in names for part in conf.LIMITS[name]]
    answer = scripts.run(SCRIPT, keys, [number, *amounts]) if keys else None
    return (names[answer[0] - 1], float(answer[1])) if answer and answer[0] else None
