"""Customers who order one after the other, at a concurrency, over kept connections. Needs no Django."""

import random
import threading
import time
from typing import Any, NamedTuple

import urllib3

from lab.faults.customers import cheap
from stack.sample_order import CUSTOMER


class Answers(NamedTuple):
    """How long each order took, in seconds; how many were not accepted; seconds until the last answer."""

    seconds: list[float]
    failed: int
    took: float


def baskets(items: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The lines of orders of three products each, out of the items of `GET /api/products`. No product is in two."""
    slugs = sorted(cheap(items))
    return [[{"product": slug, "quantity": 1} for slug in slugs[i : i + 3]] for i in range(0, len(slugs) - 2, 3)]


def order(site: str, choice: list[list[dict[str, Any]]], concurrency: int, seconds: float, patience: float) -> Answers:
    """Order for this long, then wait for the last answers. A customer gives up after `patience` seconds."""
    pool = urllib3.PoolManager(maxsize=concurrency, retries=False, timeout=patience)
    begin = time.monotonic()
    found: list[tuple[float, bool]] = []

    def customer() -> None:
        while (sent := time.monotonic()) < begin + seconds:
            body = CUSTOMER | {"lines": random.choice(choice)}  # noqa: S311
            try:
                accepted = pool.request("POST", f"{site}/api/orders", json=body).status < 300
            except urllib3.exceptions.HTTPError:
                accepted = False
            found.append((time.monotonic() - sent, accepted))

    threads = [threading.Thread(target=customer) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = sum(not accepted for _, accepted in found)
    return Answers([each for each, _ in found], failed, time.monotonic() - begin)
