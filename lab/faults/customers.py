"""Load: customers who order through the real API, with or without retries.

locustfile.py runs without Django, so this module does not import it.
"""

import random
import statistics
import threading
import time
import uuid
from collections import deque
from typing import Any, Self

import urllib3

from stack.sample_order import CUSTOMER

PAUSE = 2.0  # seconds
TIMEOUT = 12.0  # seconds for one request
RETRY_FOR = 30.0  # seconds
RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
EXPENSIVE = 100  # the fraud review holds a larger order for a person, who does not come here


def cheap(items: list[dict[str, Any]]) -> list[str]:
    """The slugs of products in stock that pass the fraud review, out of the items of `GET /api/products`."""
    return [item["slug"] for item in items if float(item["price"]) < EXPENSIVE and item["stock"] > 0]


def basket(products: list[str], email: str = CUSTOMER["email"]) -> dict[str, Any]:
    """The body of an order for one piece of a random product."""
    return {**CUSTOMER, "email": email, "lines": [{"product": random.choice(products), "quantity": 1}]}  # noqa: S311


class Customers:
    """Customers as threads, during a `with` block. `retries` says of each whether they retry a failed request."""

    def __init__(
        self, site: str, products: list[str], email: str, retries: tuple[bool, ...], pause: float = PAUSE
    ) -> None:
        self.site, self.products, self.email = site, products, email
        self.pool = urllib3.PoolManager(maxsize=3)
        self.pause = pause  # seconds between two orders of one customer, on average
        self.stopping = threading.Event()
        self.answers: list[dict] = []  # responses with an order's number
        self.failures: list[str] = []  # orders that got no response from any try
        self.latest: deque[tuple[float, float]] = deque(maxlen=20)  # end as Unix time, and duration in seconds
        self.waiting: dict[int, float] = {}  # thread -> start of its open request
        self.threads = [threading.Thread(target=self.shop, args=(each,), daemon=True) for each in retries]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def shop(self, retries: bool) -> None:
        """One customer, until the block ends."""
        while not self.stopping.wait(self.pause * random.uniform(0.5, 1.5)):  # noqa: S311
            self.buy({"Idempotency-Key": str(uuid.uuid4())} if retries else {})

    def buy(self, headers: dict[str, str]) -> None:
        """Place one order. With an idempotency key, retry the same request until it succeeds."""
        body = basket(self.products, self.email)
        begin = self.waiting[threading.get_ident()] = time.monotonic()
        while (why := self.send(body, headers)) is not None:
            if not headers or time.monotonic() > begin + RETRY_FOR:
                self.failures.append(why)
                break
            time.sleep(0.5)
        del self.waiting[threading.get_ident()]
        self.latest.append((time.time(), time.monotonic() - begin))

    def send(self, body: dict, headers: dict) -> str | None:
        """One request. Returns None if it got a final response, else the reason."""
        begin = time.monotonic()
        try:
            answer = self.pool.request(
                "POST", f"{self.site}/api/orders", json=body, headers=headers, retries=False, timeout=TIMEOUT
            )
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        if answer.status in RETRY_STATUSES:
            return str(answer.status)
        try:
            number = int(answer.json()["number"])
        except (ValueError, KeyError):
            return f"{answer.status} {answer.data[:200]!r}"
        self.answers.append({"status": answer.status, "number": number, "seconds": time.monotonic() - begin})
        return None

    def latency(self, within: float = 60.0) -> float | None:
        """The median duration of the latest checkouts, in seconds, or the age of an open request if that is longer.
        None if there was no checkout within `within` seconds."""
        now = time.time()
        seconds = [taken for at, taken in list(self.latest) if at > now - within]
        waiting = [time.monotonic() - begin for begin in list(self.waiting.values())]
        return max([*waiting, *([statistics.median(seconds)] if seconds else [])], default=None)
