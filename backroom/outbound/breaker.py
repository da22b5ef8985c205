"""The gate before each partner: a circuit breaker and a rate, one for the whole fleet.

Its state is in Valkey (or Redis), where the broker is, and each step is one script there (breaker.lua): so of all
processes exactly one probes a partner that was away, and nobody counts alone. It is only a memory of the last seconds.
Where it is lost or out of reach, every call is let through, as if there were no gate: jobs fail and are tried again by
their Retry. With another broker there is none (backroom.W001).
"""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from backroom.ledger.errors import Permanent, RetryAfter
from backroom.outbound.errors import Away, PartnerUnavailable, PartnerUnreachable
from backroom.runtime import publisher

log = logging.getLogger(__name__)

THRESHOLD = 5  # failures without a success between them, each of another effect, that open the breaker
WINDOW = 60  # seconds after which, without another one, failures are forgotten
PAUSE, LONGEST = 5, 30  # seconds until the first probe; each that fails doubles them, up to the longest
BURST = 0.5  # seconds' worth of calls that may come at once: twice the dispatcher's poll
SCRIPT = Path(__file__).with_suffix(".lua").read_text()


@contextmanager
def guard(partner: str, effect: str, lease: float, patience: float = 0.0) -> Iterator[None]:
    """One call to a partner, inside the block. How the block ends, tells the gate how the partner is.

    `effect` names what the call is about: a request that always fails shall open no breaker alone. `lease` is longer
    than the call can take, in seconds; `patience` is how long the caller would wait here for its turn. Raises Away
    where the partner is not to be asked now, and instead of PartnerUnreachable.
    """
    answer, number, seconds = _step("admit", partner, patience, lease, BURST) or ("pass", 0, 0)
    if answer not in ("pass", "probe"):
        raise Away(float(seconds), f"{partner} is not asked: {answer}")
    time.sleep(float(seconds))
    probe = number if answer == "probe" else 0
    try:
        yield
    except RetryAfter as error:
        _step("answered", partner, probe, error.seconds)
        raise
    except Permanent:
        _answered(partner, probe, number)
        raise
    except PartnerUnreachable as error:
        seconds = _failed(partner, probe, uuid.uuid4().hex, wants_appointment=True)  # nobody's effect is to blame
        if seconds is None:
            raise
        raise Away(seconds, str(error)) from error
    except PartnerUnavailable:
        _failed(partner, probe, effect)
        raise
    except BaseException:  # an error of ours, or what stops a body from outside, says nothing; but a probe must end
        if probe:
            _failed(partner, probe, effect)
        raise
    _answered(partner, probe, number)


def _answered(partner: str, probe: int, failures: int) -> None:
    """Tell of a success, where that makes a difference: the usual call costs one round trip only."""
    if (probe or failures) and (told := _step("answered", partner, probe, 0)) and told[0]:
        log.warning("%s answers again: its breaker is closed", partner)


def _failed(partner: str, probe: int, who: str, wants_appointment: bool = False) -> float | None:
    """Tell of a failure; the seconds until the appointment, or None where nobody keeps any."""
    told = _step("failed", partner, probe, f"by {who}", int(wants_appointment), THRESHOLD, WINDOW, PAUSE, LONGEST)
    if told and told[0]:
        log.warning("%s fails: its breaker is open", partner)
    return float(told[1]) if told else None


def _step(verb: str, partner: str, *arguments: Any) -> list[Any] | None:
    """One verb of the script. None for a partner without a rate, and where Valkey can't be asked: that takes a fraction
    of a second, once, as the publisher in this process leaves it alone then, too, and learns when it answers again."""
    client, rate = _client(), rates().get(partner)
    if client is None or rate is None or publisher.is_off():
        return None
    keys = f"backroom:partner:{{{partner}}}", f"backroom:partner:{{{partner}}}:failing"
    try:
        return client.register_script(SCRIPT)(keys, [verb, rate, *arguments])
    except (redis.ConnectionError, redis.TimeoutError) as error:
        log.warning("no breakers and no rates until the broker answers: %s", type(error).__name__)
        publisher.switch_off()
    except redis.RedisError as error:
        log.warning("no breakers and no rates: %s", error)
    return None


def _client() -> redis.Redis | None:
    url = current_app.conf.broker_write_url or current_app.conf.broker_url or ""
    return _connected(url) if url.startswith(("redis://", "rediss://")) else None


@lru_cache
def _connected(url: str) -> redis.Redis:
    """A connection that a restart of the broker has ended is opened anew; a broker that hangs is asked once."""
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(
        url,
        socket_timeout=publisher.TIMEOUT,
        socket_connect_timeout=publisher.TIMEOUT,
        retry=once_more,
        decode_responses=True,
    )


def rates() -> dict[str, float]:
    """Calls a second that each partner allows us; one that is not named has no gate."""
    return settings.PARTNER_RATES


def states() -> list[dict[str, Any]] | None:
    """Each partner's gate, for people and machines; None where the broker can't be asked or keeps none.

    partner · state: closed, open, half-open · since: when that began, ISO 8601, or None · failures: since the last
    success · next_s: seconds until it may be asked again · rate: calls a second.
    """
    client = _client()
    if client is None or publisher.is_off():
        return None
    try:
        seconds, micros = client.time()
        return [
            _state(name, client.hgetall(f"backroom:partner:{{{name}}}"), seconds + micros / 1e6) for name in rates()
        ]
    except redis.RedisError as error:
        log.warning("the breakers can't be read: %s", type(error).__name__)
        return None


def _state(name: str, gate: dict[Any, Any], now: float) -> dict[str, Any]:
    moment = {field: float(gate.get(field, 0)) for field in ("open_until", "probe_until", "held_until", "since")}
    wait = max(moment["open_until"], moment["held_until"]) - now
    half = "half-open" if moment["open_until"] <= now else "open"
    return {
        "partner": name,
        "state": half if moment["open_until"] else "closed",
        "since": datetime.fromtimestamp(moment["since"], UTC).isoformat() if moment["since"] else None,
        "failures": int(gate.get("failures", 0)),
        "next_s": round(max(0.0, wait), 1),
        "rate": rates()[name],
    }


def reset() -> None:
    """Forget all that is known of the partners: breakers closed, nobody waits. Raises redis.RedisError."""
    client = _client()
    if client and (keys := list(client.scan_iter("backroom:partner:*"))):
        client.delete(*keys)
