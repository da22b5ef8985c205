"""A whole cluster of real processes under a real supervisord, with failpoints: the matrix breaks it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lab.faults import LEDGERED, failpoints
from lab.faults.naive import processes as naive_processes
from lab.faults.stack import RunningStack, descendants, send
from stack import brokers, environment, ports, processes, readiness, servers
from stack.broker import Broker, Server
from stack.processes import Process
from stack.supervisor import CHECKOUT, Supervisor
from tests import messages
from tests.brokers import chosen

ALWAYS = ("web", "worker-critical", "worker-default", "worker-bulk", "dispatcher")


class Cluster(RunningStack):
    """The processes of one shop. `start` and `stop` ignore names that the shop does not have."""

    def __init__(self, supervisor: Supervisor, shop: str, kind: Broker) -> None:
        super().__init__(supervisor, supervisor.env)
        self.shop, self.ledgered, self.kind = shop, shop == LEDGERED, kind
        self.names = [process.name for process in supervisor.processes]
        self.checks |= {server.name: server.ready for server in kind.servers}
        self.broker = kind.admin or self.broker

    def start_servers(self) -> None:
        """One after the other: a RabbitMQ that finds no epmd starts one of its own."""
        for name in ("postgres", *(server.name for server in self.kind.servers)):
            self.start(name)

    def start(self, *names: str) -> None:
        super().start(*(name for name in names if name in self.names))

    def stop(self, *names: str) -> None:
        super().stop(*(name for name in names if name in self.names))

    def queued(self, queue: str) -> int:
        return super().queued(queue) if self.kind.name == "valkey" else messages.waiting(queue)

    def empty_broker(self) -> None:
        """Take all messages out of it; of Valkey all else, too."""
        if self.kind.name != "valkey":
            return messages.purge()
        with self.client() as client:
            client.flushall()


@contextlib.contextmanager
def running(var: Path, shop: str = LEDGERED, numbers: dict[str, int] | None = None) -> Iterator[Cluster]:
    """A cluster of a shop during the block, on these ports or on free ones."""
    with environment.locked(var):
        numbers = numbers or ports.free()
        servers.prepare_postgres(var)
        kind = brokers.prepare(chosen(), var, numbers["BROKER_PORT"])
        shop_env = {**environment.build(var, numbers), **kind.env}
        environment.write(var, shop_env)
        env = failpoints.environment(var / "failpoints", {**os.environ, **shop_env})
        embedded = [processes.postgres(var, numbers["DATABASE_PORT"]), *map(as_process, kind.servers)]
        ours = shop == LEDGERED
        own = with_second_ones(processes.shop(env) if ours else naive_processes.shop(env))
        settings = {} if ours else {"DJANGO_SETTINGS_MODULE": naive_processes.SETTINGS[shop]}
        supervisor = Supervisor(var, [*embedded, *own], env | settings)
        try:
            readiness.until_answering(supervisor)
            cluster = Cluster(supervisor, shop, kind)
            cluster.start_servers()
            prepare(shop_env)
            cluster.start("partners", *ALWAYS)
            yield cluster
        finally:
            # Its data is not needed any more, and a stop in order takes as long as a row.
            send(signal.SIGKILL, descendants(supervisor.child.pid))
            supervisor.close()


def as_process(server: Server) -> Process:
    return Process(server.name, server.command, stage=1, grace=30)


def with_second_ones(shop: list[Process]) -> list[Process]:
    """The shop's processes, and a second one of each that a row may need twice."""
    second = []
    for process in shop:
        if process.name.startswith(("worker-", "dispatcher", "beat")):
            command = [part.replace("@%h", "-2@%h") for part in process.command]
            second.append(replace(process, name=f"{process.name}-2", command=command))
    # A shorter grace period, so that a frozen process does not delay a stop for a minute.
    return [replace(process, grace=20) for process in (*shop, *second) if process.name != "flower"]


def prepare(env: dict[str, str]) -> None:
    """Make the tables and the products."""
    owner = environment.of_owner({**os.environ, **env})
    made = subprocess.run(
        [sys.executable, "-m", "stack.prepare"], env=owner, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout + made.stderr
