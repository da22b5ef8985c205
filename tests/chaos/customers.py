"""Steady checkout load through the real API: customers who try again when the web dies, and some who don't."""

import random
import threading
import time
import uuid

import urllib3

from tests.house import CUSTOMER

PAUSE = 2.0
TIMEOUT = 12.0  # of one request
PATIENT_FOR = 30.0  # so long a customer who tries again does so
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


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
        while not self.stopping.wait(self.pause * random.uniform(0.5, 1.5)):
            self.buy(patient)

    def buy(self, patient: bool) -> None:
        """Place one order. A patient customer sends the same request, with its key, until it is answered."""
        line = {"product": random.choice(self.products), "quantity": 1}
        body = {**CUSTOMER, "email": self.email, "lines": [line]}
        headers = {"Idempotency-Key": str(uuid.uuid4())} if patient else {}
        deadline = time.monotonic() + PATIENT_FOR
        while True:
            why = self.ask(body, headers)
            if why is None:
                return
            if not patient or time.monotonic() > deadline:
                return self.failures.append(why)
            time.sleep(0.5)

    def ask(self, body: dict, headers: dict) -> str | None:
        """One request; None when it was answered for good, else why not."""
        try:
            answer = self.pool.request(
                "POST", f"{self.site}/api/orders", json=body, headers=headers, retries=False, timeout=TIMEOUT
            )
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        if answer.status in TRY_AGAIN:
            return str(answer.status)
        try:
            self.answers.append({"status": answer.status, "number": int(answer.json()["number"])})
        except (ValueError, KeyError):
            return f"{answer.status} {answer.data[:200]!r}"
        return None
