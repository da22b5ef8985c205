"""More customers than the lab's button brings, with Locust: charts, ramps, as many as one likes.

    python3 -m venv /tmp/locust && /tmp/locust/bin/pip install locust
    /tmp/locust/bin/locust --locustfile lab/locustfile.py --host http://127.0.0.1:8000

from the checkout, and then http://127.0.0.1:8089. In an environment of its own, as it brings gevent, which patches
sockets and threads, and some twenty packages more; nothing of ours needs it. What customers do is that of customers.py.
"""

import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust runs a file, not a module

from locust import HttpUser, between, task

from lab.faults.customers import PAUSE, basket, cheap


class Customer(HttpUser):
    """Looks around now and then, and buys one piece of something every two seconds or so."""

    wait_time = between(0.5 * PAUSE, 1.5 * PAUSE)

    def on_start(self) -> None:
        self.products = cheap(self.client.get("/api/products?limit=100").json()["items"])

    @task(4)
    def buy(self) -> None:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        with self.client.post(
            "/api/orders", json=basket(self.products), headers=headers, catch_response=True
        ) as answer:
            if answer.status_code == 409:  # sold out: the shop has told the truth
                answer.success()

    @task(1)
    def look_around(self) -> None:
        self.client.get("/products/", name="/products/")
