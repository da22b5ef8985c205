"""Customers: who buys what, through the real API. Some try again when the web dies, and some don't.

For the lab's button, the crash matrix and locustfile.py; so nothing of Django here.
"""

import random
import statistics
import threading
import time
import uuid
from collections import deque
from typing import Any

import urllib3

from stack.sample_order import CUSTOMER

PAUSE = 2.0
TIMEOUT = 12.0  # of one request
PATIENT_FOR = 30.0  # so long a customer who tries again does so
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
DEAR = 100  # nothing so dear that the fraud review holds the order for a person, who never comes


def cheap(items: list[dict[str, Any]]) -> list[str]:
    """The slugs of what one may buy without being looked at, out of the items of `GET /api/products`."""
    return [item["slug"] for item in items if float(item["price"]) < DEAR and item["stock"] > 0]


def basket(products: list[str], email: str = CUSTOMER["email"]) -> dict[str, Any]:
    """The body of an order of one piece of something."""
    return {**CUSTOMER, "email": email, "lines": [{"product": random.choice(products), "quantity": 1}]}  # noqa: S311


class Customers:
    """Some customers at a time, as threads, patient or not; use as a context: they are gone when it is left."""

    def __init__(
        self, site: str, products: list[str], email: str, patience: tuple[bool, ...], pause: float = PAUSE
    ) -> None:
        self.site, self.products, self.email = site, products, email
        self.pool = urllib3.PoolManager(maxsize=3)
        self.pause = pause  # seconds between two orders of one customer, about
        self.stopping = threading.Event()
        self.answers: list[dict] = []  # what was answered with an order's number
        self.failures: list[str] = []  # requests that no try got an answer for
        self.latest: deque[tuple[float, float]] = deque(maxlen=20)  # when answered or given up, after how many s
        self.waiting: dict[int, float] = {}  # thread: since when its customer waits
        self.threads = [
            threading.Thread(target=self.buy_again_and_again, args=(patient,), daemon=True) for patient in patience
        ]

    def __enter__(self) -> "Customers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def buy_again_and_again(self, patient: bool) -> None:
        while not self.stopping.wait(self.pause * random.uniform(0.5, 1.5)):  # noqa: S311
            self.buy({"Idempotency-Key": str(uuid.uuid4())} if patient else {})

    def buy(self, headers: dict[str, str]) -> None:
        """Place one order. A patient customer sends the same request, with its key, until it is answered."""
        body = basket(self.products, self.email)
        begin = self.waiting[threading.get_ident()] = time.monotonic()
        while (why := self.ask(body, headers)) is not None:
            if not headers or time.monotonic() > begin + PATIENT_FOR:
                self.failures.append(why)
                break
            time.sleep(0.5)
        del self.waiting[threading.get_ident()]
        self.latest.append((time.time(), time.monotonic() - begin))

    def ask(self, body: dict, headers: dict) -> str | None:
        """One request; None when it was answered for good, else why not."""
        begin = time.monotonic()
        try:
            answer = self.pool.request(
                "POST", f"{self.site}/api/orders", json=body, headers=headers, retries=False, timeout=TIMEOUT
            )
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        if answer.status in TRY_AGAIN:
            return str(answer.status)
        try:
            number = int(answer.json()["number"])
        except (ValueError, KeyError):
            return f"{answer.status} {answer.data[:200]!r}"
        self.answers.append({"status": answer.status, "number": number, "seconds": time.monotonic() - begin})
        return None

    def latency(self, within: float = 60.0) -> float | None:
        """Seconds that a customer waits: in the median of the latest, answered or not, within so many seconds; or as
        long as somebody has waited by now, if that is longer. None if there were none."""
        now = time.time()
        seconds = [taken for at, taken in list(self.latest) if at > now - within]
        waiting = [time.monotonic() - begin for begin in list(self.waiting.values())]
        return max([*waiting, *([statistics.median(seconds)] if seconds else [])], default=None)
