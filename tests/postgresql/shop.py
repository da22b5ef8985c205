"""The shop's processes on a database of the test's, customers who buy, and what an audit makes of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

import psycopg
import urllib3

from lab.faults.customers import Customers, cheap
from lab.faults.stack import RunningStack, descendants, send
from stack import environment, ports, processes, readiness, servers
from stack.environment import OWNER
from stack.processes import Process
from stack.supervisor import CHECKOUT, Supervisor
from tests.chaos.cluster import ALWAYS, prepare
from tests.postgresql.server import Server

PAUSE = 0.5  # seconds between two orders of one customer
WORKERS = ("worker-critical", "worker-default", "worker-bulk")
OF_DATABASE = (*ALWAYS, "beat", "watcher")
FAR_AGO = "UPDATE orders_order SET created_at = created_at - interval '10 minutes'"  # the reconciler leaves new ones


@dataclass
class Verdict:
    """What an audit found, in orders and effects. `named`: of the lost orders, those that it names."""

    orders: int  # that a customer had a number of
    lost: int  # of these, that do not exist
    named: int
    missing: int  # effects of orders that exist
    twice: int
    partners: set[str]  # whose effects happened twice
    unfinished: int


class Shop(RunningStack):
    """As tests start it: without Flower, with customers of its own."""

    def customers(self) -> Customers:
        """Three, who try again until they have an answer, during a `with` block."""
        items = urllib3.request("GET", f"{self.site}/api/products").json()["items"]
        return Customers(self.site, cheap(items), "customer@example.org", (True,) * 3, PAUSE)

    def manage(self, *words: str) -> dict:
        """The JSON that a command of manage.py prints."""
        command = [sys.executable, "manage.py", *words, "--json"]
        done = subprocess.run(command, cwd=CHECKOUT, env=dict(self.env), capture_output=True, text=True)
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        return json.loads(done.stdout)

    def judge(self, customers: Customers, server: Server) -> Verdict:
        """Wait for the jobs, and audit. `server` has the database now."""
        report = self.manage("audit", "--wait", "150")
        with psycopg.connect(server.url()) as session:
            known = {number for (number,) in session.execute("SELECT number FROM orders_order")}
        lost = {answer["number"] for answer in customers.answers} - known
        stray = {row["key"].partition(":")[2] for row in report["stray"]}
        named = {number for number in lost if str(number) in stray}
        twice = report["duplicated"]
        return Verdict(
            len(customers.answers), len(lost), len(named), len(report["lost"]), len(twice),
            {row["partner"] for row in twice}, report["unfinished"],
        )  # fmt: skip

    def reconcile(self, server: Server) -> dict:
        """What the reconciler repairs, and reports to staff."""
        server.execute(FAR_AGO, database=servers.DATABASE)
        return self.manage("reconcile")


@contextmanager
def running(var: Path, server: Server, url: str = "", *more: Process, **env: str) -> Iterator[Shop]:
    """The shop on this server during the block, by its address or another `url`, with `more` processes before it."""
    numbers = ports.free() | {"DATABASE_PORT": server.port}
    given = {"DATABASE_URL": url or server.url(environment.SHOP)}
    full = {**os.environ, **environment.build(var, numbers, given), **env, "READER_DATABASE_URL": ""}
    prepare(full | {"OWNER_DATABASE_URL": server.url(OWNER), "DATABASE_URL": server.url(OWNER)})
    servers.prepare_valkey(var, numbers["BROKER_PORT"])
    # A shorter grace period, so that a process without its database does not delay a stop for a minute.
    own = [replace(each, grace=20) for each in processes.shop(full) if each.name != "flower"]
    supervisor = Supervisor(var, [processes.valkey(var), *more, *own], full)
    try:
        readiness.until_answering(supervisor)
        shop = Shop(supervisor, full)
        shop.start("valkey", *(process.name for process in more), "partners", *OF_DATABASE)
        yield shop
    finally:
        send(SIGKILL, descendants(supervisor.child.pid))
        supervisor.close()
