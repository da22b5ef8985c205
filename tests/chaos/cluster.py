"""A whole house of real processes under a real supervisord, with failpoints, which the rows of the matrix break."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import urllib3

from lab.faults import failpoints
from lab.faults.naive import processes as naively
from lab.faults.stack import descendants, fault, heal, send
from stack import environment, ports, processes, readiness, servers
from stack.processes import Process
from stack.supervisor import CHECKOUT, Supervisor

ALWAYS = ("web", "worker-critical", "worker-default", "worker-bulk", "dispatcher")

SAYINGS = {"worker": ("[config]", " ready."), "beat": ("is starting.", "beat: Starting")}  # when it begins; when ready


class House:
    """The processes of one shop, by the names that supervisord knows them by."""

    def __init__(self, var: Path, supervisor: Supervisor, naive: bool) -> None:
        self.var, self.supervisor, self.naive = var, supervisor, naive
        self.env = supervisor.env
        self.site, self.partners = self.env["SITE_URL"], self.env["PARTNERS_URL"]
        self.points = failpoints.Failpoints(var / "failpoints")
        self.names = [process.name for process in supervisor.processes]

    def start(self, *names: str) -> None:
        """Start those of these processes that don't run, and wait until all are ready."""
        checks = {name: readiness.checks(self.env)[name] for name in ("postgres", "valkey", "partners", "web")}
        names = tuple(name for name in names if name in self.names)
        for name in names:
            if self.supervisor.state(name) not in ("RUNNING", "STARTING", "BACKOFF"):
                self.supervisor.start([name])
        for name in names:
            readiness.wait(self.supervisor, name, checks.get(name) or partial(self.says_so, name))

    def says_so(self, name: str) -> bool:
        """Whether a worker, dispatcher or beat has told its log that it is ready, since it last began. A ping has half
        a second, which is not enough where many houses start at once."""
        kind = name.partition("-")[0]
        log = self.supervisor.log(name)
        text = log.read_text() if log.exists() else ""
        if kind == "dispatcher":
            return f"dispatcher {self.pid(name)} is ready" in text
        if kind not in SAYINGS:
            return True
        begins, ready = SAYINGS[kind]
        return text.rfind(ready) > text.rfind(begins)

    def stop(self, *names: str) -> None:
        """Stop processes in order, as `supervisorctl stop` does."""
        self.supervisor.stop(name for name in names if name in self.names)

    def pid(self, name: str) -> int:
        """The main process's id."""
        return self.supervisor.call("getProcessInfo", name)["pid"]

    def family(self, name: str) -> list[int]:
        """The ids of a process and of all below it."""
        return descendants(self.pid(name))

    def fault(self, partner: str, **faults: object) -> None:
        """Set a partner's faults; none heals it."""
        fault(self.partners, partner, **faults)

    def heal(self) -> None:
        """No partner has a fault."""
        heal(self.partners)

    def effects(self, key: str) -> int:
        """How often the partners did what this key names."""
        found = urllib3.request("GET", f"{self.partners}/effects", fields={"key": key}).json()["effects"]
        return sum(effect["count"] for effect in found)


@contextlib.contextmanager
def running(var: Path, naive: bool = False, numbers: dict[str, int] | None = None) -> Iterator[House]:
    """A house of its own, on these ports or on free ones, for as long as the block lasts."""
    with environment.locked(var):
        numbers = numbers or ports.free()
        shop_env = environment.build(var, numbers)
        environment.write(var, shop_env)
        servers.prepare_postgres(var)
        servers.prepare_valkey(var, numbers["BROKER_PORT"])
        env = failpoints.environment(var / "failpoints", {**os.environ, **shop_env})
        embedded = [processes.postgres(var, numbers["DATABASE_PORT"]), processes.valkey(var)]
        shop = twins(naively.shop(env) if naive else processes.shop(env))
        supervisor = Supervisor(var, [*embedded, *shop], naively.environment(env) if naive else env)
        try:
            readiness.until_answering(supervisor)
            house = House(var, supervisor, naive)
            house.start("postgres", "valkey")
            prepare(shop_env)
            house.start("partners", *ALWAYS)
            yield house
        finally:
            # Nobody wants anything of it any more: a stop in order would take as long as a row.
            send(signal.SIGKILL, descendants(supervisor.child.pid))
            supervisor.close()


def twins(shop: list[Process]) -> list[Process]:
    """The shop's processes, and a second one of those that a row may need two of."""
    second = []
    for process in shop:
        if process.name.startswith(("worker-", "dispatcher", "beat")):
            command = [part.replace("@%h", "-2@%h") for part in process.command]
            second.append(replace(process, name=f"{process.name}-2", command=command))
    # A frozen process must not hold up the end for a minute: rows that need the full grace say so themselves.
    return [replace(process, grace=20) for process in (*shop, *second) if process.name != "flower"]


def prepare(env: dict[str, str]) -> None:
    """Tables and products."""
    made = subprocess.run(
        [sys.executable, "-m", "stack.prepare"], env={**os.environ, **env}, cwd=CHECKOUT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout + made.stderr
