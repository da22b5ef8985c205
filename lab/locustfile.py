"""More customers than the lab's button starts, with Locust: charts, ramps, any number of users. From the checkout:

    python3 -m venv /tmp/locust && /tmp/locust/bin/pip install locust
    /tmp/locust/bin/locust --locustfile lab/locustfile.py --host http://127.0.0.1:8000

Then open http://127.0.0.1:8089. Locust needs an environment of its own, as its gevent patches sockets and threads.
"""

import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust runs a file, not a module

from locust import HttpUser, between, task

from lab.faults.customers import PAUSE, basket, cheap


class Customer(HttpUser):
    """Orders one piece about every two seconds, and sometimes lists the products."""

    wait_time = between(0.5 * PAUSE, 1.5 * PAUSE)

    def on_start(self) -> None:
        self.products = cheap(self.client.get("/api/products?limit=100").json()["items"])

    @task(4)
    def buy(self) -> None:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        with self.client.post(
            "/api/orders", json=basket(self.products), headers=headers, catch_response=True
        ) as answer:
            if answer.status_code == 409:  # sold out, which is a correct answer
                answer.success()

    @task(1)
    def list_products(self) -> None:
        self.client.get("/products/", name="/products/")
