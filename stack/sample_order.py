"""Places an order through the shop's API, and follows its jobs until all have ended."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import urllib3

from stack import Problem

CUSTOMER = {
    "email": "bistro@example.com",
    "name": "Bistro Łódź",
    "address": "ul. Zielna 7",
    "city": "Łódź",
    "postcode": "90-001",
    "country": "PL",
    "card": "demo-approve",
}
NAMES = {
    "invoice": "invoice PDF made",
    "receipt": "receipt mailed",
    "fraud": "fraud reviewed",
    "capture": "payment captured",
    "shipment": "shipment requested",
    "label": "shipping label made",
    "analytics": "analytics event sent",
    "loyalty": "loyalty points added",
    "recommendations": "recommendations updated",
}
ENDED = ("succeeded", "dead", "cancelled")


class OrderFailed(Problem):
    """The shop did not accept the order, or its jobs did not end in time."""


@dataclass(frozen=True)
class Placed:
    """An accepted order, and the duration of the response."""

    number: int
    status: str
    total: str
    currency: str
    url: str
    token: str
    milliseconds: float


def place(site: str, lines: int = 3) -> Placed:
    """Order the first products that are in stock. Raises OrderFailed."""
    items = _call("GET", f"{site}/api/products")["items"]
    chosen = [item["slug"] for item in items if item["stock"] >= 1][:lines]
    body = {**CUSTOMER, "lines": [{"product": slug, "quantity": 1} for slug in chosen]}
    started = time.monotonic()
    answer = _call("POST", f"{site}/api/orders", json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
    milliseconds = (time.monotonic() - started) * 1000
    fields = {name: answer[name] for name in ("number", "status", "total", "currency", "url", "token")}
    return Placed(**fields, milliseconds=milliseconds)


def follow(site: str, order: Placed, seconds: float = 60) -> Iterator[dict[str, Any]]:
    """Yield each job when it has ended. Raises OrderFailed if one has not after `seconds`."""
    deadline, seen = time.monotonic() + seconds, set()
    while True:
        jobs = _call("GET", f"{site}/api/orders/{order.number}?token={order.token}")["jobs"]
        known = [job for job in jobs if not job["key"].startswith("settle:")]
        for job in sorted(known, key=seconds_after):
            if job["state"] in ENDED and job["id"] not in seen:
                seen.add(job["id"])
                yield job
        if known and len(seen) == len(known):
            return
        if time.monotonic() > deadline:
            late = ", ".join(f"{job['key']} is {job['state']}" for job in known if job["id"] not in seen)
            raise OrderFailed(f"order {order.number} is not done after {seconds:.0f} s: {late or 'no jobs'}")
        time.sleep(0.05)


def seconds_after(job: Mapping[str, Any]) -> float:
    """Seconds from the order to the end of this job; 0 before it begins."""
    return ((job["wait_ms"] or 0) + (job["run_ms"] or 0)) / 1000


def label(job: Mapping[str, Any]) -> str:
    """A line of the timeline: `invoice PDF made`, or the job's key and state."""
    name = NAMES.get(job["key"].split(":")[0], job["key"])
    return name if job["state"] == "succeeded" else f"{job['key']} is {job['state']}"


def _call(method: str, url: str, **options: Any) -> Any:
    try:
        response = urllib3.request(method, url, timeout=15, retries=False, **options)
    except urllib3.exceptions.HTTPError as error:
        raise OrderFailed(f"{method} {url}: {error}") from None
    with suppress(ValueError):  # no JSON: a proxy's page, or another program at this address
        if response.status < 400:
            return response.json()
    raise OrderFailed(f"{method} {url} answered {response.status}: {response.data.decode(errors='replace')[:2000]}")
