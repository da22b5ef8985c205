"""A real `python -m partners` on free ports, for the tests of the partners themselves."""

import json
import os
import signal
import smtplib
import subprocess
import sys
from email.message import EmailMessage
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from stack import ports

ROOT = Path(__file__).resolve().parents[2]
SHIPMENT = {
    "order": "1001",
    "name": "Kawiarnia Łąka",
    "address": "Rynek 1",
    "city": "Kraków",
    "postcode": "31-042",
    "country": "PL",
    "lines": [{"sku": "apples", "name": "Apples", "quantity": 2}],
}
HEALTHY = {
    "latency_ms": 0,
    "error_rate": 0.0,
    "status": None,
    "hang": False,
    "down": False,
    "accept_then_fail": False,
    "trickle_ms": 0,
    "truncate": False,
    "garbage": False,
    "webhook_repeat": False,
    "webhook_reorder": False,
    "webhook_forge": False,
}


class World:
    """A process of partners, and what a client can do to it."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.http, self.inbox, self.smtp = ports.free(["PARTNERS_PORT", "MAIL_PORT", "SMTP_PORT"]).values()

    def environment(self, **changes: str) -> dict[str, str]:
        numbers = {"PARTNERS_PORT": self.http, "MAIL_PORT": self.inbox, "SMTP_PORT": self.smtp}
        texts = {name: str(value) for name, value in numbers.items()}
        own = {"BACKROOM_VAR": str(self.var), "PARTNERS_URL": f"http://127.0.0.1:{self.http}"}
        return os.environ | texts | own | changes

    def start(self, **changes: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "partners"],
            cwd=ROOT,
            env=self.environment(**changes),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline().startswith("partners:"), "it says when it listens"

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code

    def call(self, method, path, body=None, key=None, timeout=60, port=None, headers=None):
        """Status and decoded body."""
        status, raw, answer = self.fetch(method, path, body, key, timeout, port, headers)
        return status, json.loads(raw) if "json" in answer.get("Content-Type", "") else raw.decode()

    def fetch(self, method, path, body=None, key=None, timeout=60, port=None, headers=None):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = (headers or {}) | ({"Idempotency-Key": key} if key is not None else {})
        connection = HTTPConnection("127.0.0.1", port or self.http, timeout=timeout)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def effects(self, **filters):
        return self.call("GET", "/effects?" + urlencode(filters))[1]["effects"]

    def counts(self):
        return {(each["partner"], each["kind"], each["key"]): each["count"] for each in self.effects()}

    def fault(self, partner, **switches):
        status, answer = self.call("PUT", f"/faults/{partner}", switches)
        assert status == 200, answer
        assert answer == HEALTHY | switches

    def send(self, message: EmailMessage, timeout: float = 10) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=timeout) as client:
            client.send_message(message)

    def page(self, path: str) -> str:
        status, text = self.call("GET", path, port=self.inbox)
        assert status == 200
        return text


def receipt(order: str = "1001", subject: str = "Your receipt", to: str = "bistro@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@backroom.example", to, subject
    message["Message-ID"] = f"<receipt.{order}@backroom.example>"
    message.set_content("Dziękujemy! Thank you.\n")
    return message
