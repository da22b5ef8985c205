"""Steady load by customers who never retry, so that each failed request is counted."""

import time
import uuid
from collections import Counter

import urllib3

from lab.faults import customers
from lab.faults.customers import basket, cheap

EXPECTED = {"GET": {200}, "POST": {201, 202, 409}}  # 201 paid, 202 not confirmed yet, 409 sold out


class Customers(customers.Customers):
    """Two customers with an order a second. One keeps its connection, as browsers and proxies do; the other opens one
    for each request."""

    def __init__(self, site: str) -> None:
        super().__init__(site, [], customers.CUSTOMER["email"], (True, False), pause=1.0)
        self.statuses = Counter[int]()
        self.slowest = 0.0  # seconds

    def shop(self, keep_alive: bool) -> None:
        pool = urllib3.PoolManager(headers={} if keep_alive else {"Connection": "close"}, retries=False, timeout=120)
        while not self.stopping.wait(self.pause):
            slugs = cheap(self.request(pool, "GET", "/api/products").get("items", []))
            if slugs and "number" in (answer := self.request(pool, "POST", "/api/orders", json=basket(slugs))):
                self.answers.append(answer)

    def request(self, pool: urllib3.PoolManager, method: str, path: str, **body: object) -> dict:
        """The response's body; empty if the request failed or was rejected."""
        begin = time.monotonic()
        headers = {**pool.headers, "Idempotency-Key": str(uuid.uuid4())}
        try:
            answer = pool.request(method, f"{self.site}{path}", headers=headers, **body)
        except urllib3.exceptions.HTTPError as error:
            self.failures.append(f"{method} {path}: {type(error).__name__}")
            return {}
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.statuses[answer.status] += 1
        if answer.status not in EXPECTED[method]:
            self.failures.append(f"{method} {path}: {answer.status} {answer.data[:200]!r}")
        return answer.json() if answer.status in (200, 201, 202) else {}
