"""In front of each partner: a circuit breaker and a rate limit, one for the whole fleet.

Their state is in Valkey (or Redis): BACKROOM_REDIS_URL, or the broker. Each step is one script there (breaker.lua). So
of all processes exactly one probes a partner that was away, and all share one count. The state is a memory of the last
seconds. If it is lost or out of reach, every call passes: jobs fail and retry by their own policy. Where neither is
Redis or Valkey, there are none (backroom.W001).

A partner of many hosts is called as `push:host`. Each host has its own breaker and count, at the rate of `push` unless
BACKROOM_PARTNER_RATES names it. Limit: the operations page shows only those that are named there.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from backroom.conf import conf
from backroom.ledger.errors import Permanent, RetryAfter
from backroom.observe.outages import OutageLog
from backroom.outbound.errors import Away, PartnerUnavailable, PartnerUnreachable, RequestDeferred
from backroom.runtime import broker, scripts

log = logging.getLogger(__name__)
outage = OutageLog(log, "broker")

THRESHOLD = 5  # failures in a row, each of a different effect, that open the breaker
LONG = 30  # seconds of failures only, after which two effects open it
WINDOW = 600  # seconds without a failure after which failures are forgotten; retries may be minutes apart
PAUSE, LONGEST = 5, 30  # seconds until the first probe; each failed probe doubles them, up to the longest
BURST = 0.5  # seconds' worth of calls that may come at once: twice the dispatcher's poll
TIMES = ("open_until", "probe_until", "held_until", "since", "failing_since", "failed_at")  # of a partner's hash
SCRIPT = Path(__file__).with_suffix(".lua").read_text()


@contextmanager
def guard(partner: str, effect: str, lease: float, patience: float = 0.0) -> Iterator[None]:
    """Guard one call to a partner, made inside the block. The block's end counts as the partner's success or failure.

    `effect` names the call's effect: one request that always fails must not open the breaker alone. `lease` is longer
    than the call can take, in seconds; `patience` is how many seconds the caller waits here for its slot. Raises Away
    if the breaker or the rate limit holds the call back; PartnerUnreachable is raised as Away, too.
    """
    answer, number, seconds = _step("admit", partner, patience, lease, BURST) or ("pass", 0, 0)
    if answer not in ("pass", "probe"):
        raise Away(float(seconds), f"{partner} is not called: {answer}")
    time.sleep(float(seconds))
    probe = number if answer == "probe" else 0
    try:
        yield
    except RetryAfter as error:
        _step("answered", partner, probe, error.seconds)
        raise
    except (Permanent, RequestDeferred):
        _answered(partner, probe, number)
        raise
    except PartnerUnreachable as error:
        seconds = _failed(partner, probe, uuid.uuid4().hex, slot=True)  # no effect is to blame
        if seconds is None:
            raise
        raise Away(seconds, str(error)) from error
    except PartnerUnavailable:
        _failed(partner, probe, effect)
        raise
    except BaseException:  # our own error or a time limit is not the partner's failure; but a probe must end
        if probe:
            _failed(partner, probe, effect)
        raise
    _answered(partner, probe, number)


def pace(rate: str) -> None:
    """Take one from a rate of BACKROOM_PARTNER_RATES that is no partner's, such as that of all bulk mail below the mail
    server's own. Raises Away if it is reached."""
    answer, _, seconds = _step("admit", rate, 0, 0, BURST) or ("pass", 0, 0)
    if answer != "pass":
        raise Away(float(seconds), f"{rate} waits: {answer}")


def _answered(partner: str, probe: int, failures: int) -> None:
    """Count a success, if that changes anything: the usual call costs one round trip only."""
    if (probe or failures) and (answer := _step("answered", partner, probe, 0)) and answer[0]:
        log.warning("%s answers again: its breaker is closed", partner)


def _failed(partner: str, probe: int, effect: str, slot: bool = False) -> float | None:
    """Count a failure; returns the seconds until the call's slot, or None if there is no breaker."""
    answer = _step("failed", partner, probe, f"by {effect}", int(slot), THRESHOLD, WINDOW, PAUSE, LONGEST, LONG)
    if answer and answer[0]:
        log.warning("%s fails: its breaker is open", partner)
    return float(answer[1]) if answer else None


def _step(verb: str, partner: str, *arguments: Any) -> list[Any] | None:
    """Run one verb of the script. None for a partner without a rate, and while Valkey does not answer."""
    rate = conf.PARTNER_RATES.get(partner, conf.PARTNER_RATES.get(partner.partition(":")[0]))
    if rate is None:
        return None
    keys = f"backroom:partner:{{{partner}}}", f"backroom:partner:{{{partner}}}:failing"
    return scripts.run(SCRIPT, keys, [verb, rate, *arguments])


def states() -> list[dict[str, Any]] | None:
    """Each partner's breaker; None if the broker does not answer or keeps none.

    partner · state: closed, open, half-open · since: ISO 8601, or None · failures: since the last success · next_s:
    seconds until the next call may pass · rate: calls a second · failing_since: ISO 8601, of the first call that failed
    since the last success, or None.
    """
    client = scripts.client()
    if client is None:
        return None
    try:
        seconds, micros = client.time()
        outage.end()
        return [
            _state(name, client.hgetall(f"backroom:partner:{{{name}}}"), seconds + micros / 1e6)
            for name in conf.PARTNER_RATES
        ]
    except redis.RedisError as error:
        outage.begin(f"no breakers can be read ({broker.describe(error)})")
        return None


def _state(name: str, gate: dict[Any, Any], now: float) -> dict[str, Any]:
    moment = {field: float(gate.get(field, 0)) for field in TIMES}
    wait = max(moment["open_until"], moment["held_until"]) - now
    failing = moment["open_until"] or moment["failed_at"] > now - WINDOW
    half = "half-open" if moment["open_until"] <= now else "open"
    return {
        "partner": name,
        "state": half if moment["open_until"] else "closed",
        "since": _iso(moment["since"]),
        "failures": int(gate.get("failures", 0)),
        "next_s": round(max(0.0, wait), 1),
        "rate": conf.PARTNER_RATES[name],
        "failing_since": _iso(moment["failing_since"]) if failing else None,
    }


def _iso(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def reset() -> None:
    """Close all breakers and forget all slots. Raises redis.RedisError."""
    client = scripts.client()
    if client and (keys := list(client.scan_iter("backroom:partner:*"))):
        client.delete(*keys)
