"""The shop's real processes, as `make demo` starts them, on the tests' database, broker and partners."""

import os
import signal
import subprocess
import uuid
from datetime import datetime
from pathlib import Path

import urllib3
from django.db import connection
from django.utils import timezone

from backroom.ledger.models import Heartbeat
from stack import environment, ports, processes, readiness, servers
from tests.waiting import until

PATIENCE = 120  # seconds for a start: four pieces of the tests start their processes at once, on two cores
CUSTOMER = {
    "email": "customer@example.org",
    "name": "Kawiarnia Łąka",
    "address": "1 Market Street",
    "city": "Dublin",
    "postcode": "D01",
    "country": "IE",
    "card": "demo-approve",
}


class Cluster:
    """Processes of the shop by name. Tests may kill them, and start those that they need."""

    def __init__(self, logs: Path) -> None:
        database = connection.settings_dict["NAME"]
        var, port = Path(os.environ["BACKROOM_VAR"]), os.environ["DATABASE_PORT"]
        servers.make_roles(var, port, database)
        self.env = {
            **os.environ,
            "DATABASE_URL": environment.database_url(var, port, environment.SHOP, database),
            "READER_DATABASE_URL": environment.database_url(var, port, environment.READER, database),
            "BROKER_URL": os.environ.get("SHOP_BROKER_URL") or environment.broker_url(var, os.environ["BROKER_PORT"]),
            "LOG_FORMAT": "json",
            **{k: str(v) for k, v in ports.free(["WEB_PORT"]).items()},
        }
        self.site = f"http://127.0.0.1:{self.env['WEB_PORT']}"
        self.env["SITE_URL"] = self.site
        self.logs = logs
        self.processes: dict[str, subprocess.Popen] = {}

    def commands(self) -> dict[str, list[str]]:
        """The command line of each process, and of a second watcher and dispatcher."""
        found = {process.name: process.command for process in processes.shop(self.env)}
        return found | {f"{name}-2": found[name] for name in ("watcher", "dispatcher")}

    def start(self, *names: str, **env: str) -> None:
        """Start those that do not run, with `env` in their environment, and wait until they are ready."""
        missing = [name for name in names if name not in self.processes or self.processes[name].poll() is not None]
        begin = timezone.now()
        for name in missing:
            self.begin(name, **env)
        for name in missing:
            until(lambda name=name: self.ready(name, begin), PATIENCE, f"{name}: see {self.logs}")

    def begin(self, name: str, **env: str) -> subprocess.Popen:
        """Start one, without waiting for it."""
        with (self.logs / f"{name}.log").open("ab") as log:
            command = self.commands()[name]
            process = subprocess.Popen(command, env=self.env | env, stdout=log, stderr=log, start_new_session=True)
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """SIGKILL a process and its children, and wait for its end."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def ready(self, name: str, begin: datetime) -> bool:
        if name == "web":
            return readiness.http_ok(f"{self.site}/readyz")
        if name == "flower":
            return readiness.http_ok(f"{self.env['FLOWER_URL']}/healthcheck")
        if name.startswith("worker-"):
            return Heartbeat.objects.filter(
                role="worker", queues=name.removeprefix("worker-"), started_at__gt=begin
            ).exists()
        return True

    def stop(self) -> None:
        """SIGKILL to all. A test that is about a process's stop sends it SIGTERM."""
        for name, process in self.processes.items():
            if process.poll() is None:
                self.kill(name)

    def order(self, card: str = "demo-approve", **more: object) -> urllib3.BaseHTTPResponse:
        """Place an order through the API."""
        body = {**CUSTOMER, "card": card, "lines": [{"product": self.product, "quantity": 1}], **more}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return urllib3.request("POST", f"{self.site}/api/orders", json=body, headers=headers, retries=False, timeout=30)

    @property
    def product(self) -> str:
        """The slug of a product in stock."""
        items = urllib3.request("GET", f"{self.site}/api/products", timeout=30).json()["items"]
        return next(item["slug"] for item in items if item["stock"] > 0)
