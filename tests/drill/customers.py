"""Steady load through the API by customers who never try again, so that each request that fails is seen."""

import threading
import time
import uuid
from collections import Counter

import urllib3

from stack.sample_order import CUSTOMER

BUSINESS = {201, 202, 409}  # paid; being confirmed; sold out meanwhile


class Customers:
    """So many threads, each an order a second at most. Half of them keep their connection, as browsers and proxies
    do, and half open one for each request. Use as a context: they are gone when it is left."""

    def __init__(self, site: str, threads: int = 2) -> None:
        self.site = site
        self.answers = Counter[int]()  # by status
        self.failures: list[str] = []
        self.numbers: list[int] = []
        self.slowest = 0.0  # seconds
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.shop, args=(n % 2 == 0,), daemon=True) for n in range(threads)]

    def __enter__(self) -> "Customers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()

    def shop(self, keeps: bool) -> None:
        pool = urllib3.PoolManager(headers={} if keeps else {"Connection": "close"}, retries=False, timeout=120)
        turn = 0
        while not self.done.wait(1):
            products = self.ask(pool, "GET", "/api/products")
            # Not what is dear: the safety check would hold the order for hours.
            slugs = [item["slug"] for item in products.get("items", []) if item["stock"] and float(item["price"]) < 100]
            if slugs:
                turn += 1
                lines = [{"product": slugs[turn % len(slugs)], "quantity": 1}]
                answer = self.ask(pool, "POST", "/api/orders", lines=lines)
                self.numbers += [int(answer["number"])] if "number" in answer else []

    def ask(self, pool: urllib3.PoolManager, method: str, path: str, **body: object) -> dict:
        begin = time.monotonic()
        key = {"Idempotency-Key": str(uuid.uuid4())}
        try:
            sent = {"json": {**CUSTOMER, **body}} if body else {}
            answer = pool.request(method, f"{self.site}{path}", headers={**pool.headers, **key}, **sent)
        except urllib3.exceptions.HTTPError as error:
            self.failures.append(f"{method} {path}: {type(error).__name__}")
            return {}
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.answers[answer.status] += 1
        if answer.status not in (BUSINESS if body else {200}):
            self.failures.append(f"{method} {path}: {answer.status} {answer.data[:200]!r}")
        return answer.json() if answer.status in (200, 201, 202) else {}
