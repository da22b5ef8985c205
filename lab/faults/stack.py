"""A running stack, seen from outside: supervisord and signals for its processes, HTTP for its partners, its broker.

It needs no Django settings.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import Signals

import redis
import urllib3

from lab.faults import CHECKLIST, NAIVE
from lab.faults.failpoints import Failpoints
from stack import Problem, environment, readiness, servers
from stack.supervisor import GONE, Control, Refused

BEHIND_AN_ORDER = ("payments", "warehouse", "fraud", "analytics", "mail")  # each order needs them
PARTNERS = (*BEHIND_AN_ORDER, "sms", "push", "supplier", "accounting", "receiver")
LOG_TEXTS = {  # what a process logs when it begins, and when it is ready
    "worker": ("[config]", " ready."),
    "beat": ("is starting.", "beat: Starting"),
    "dispatcher": ("\0", "dispatcher {pid} is ready"),  # the pid tells this start from earlier ones
}
SETTLED = 60  # seconds after which a running process counts as ready, also if its log was rotated
TIMEOUT = 120.0  # seconds for a process to become ready; two on an idle machine


class NotReady(Problem):
    """A process did not become ready. The text names it, with the end of its log."""


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for folder in Path(f"/proc/{parent}/task").glob("*"):
            with suppress(OSError):
                found += [int(child) for child in (folder / "children").read_text().split()]
    return found


def send(number: Signals, pids: Iterable[int]) -> None:
    """Send a signal to those of these processes that still exist."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class RunningStack:
    """`control` is a client of its supervisord, `env` the environment of its processes."""

    def __init__(self, control: Control, env: Mapping[str, str]) -> None:
        self.control, self.env, self.var = control, env, Path(env["BACKROOM_VAR"])
        self.site, self.partners = env["SITE_URL"], env["PARTNERS_URL"]
        self.broker = environment.broker_url(Path(env["BACKROOM_VAR"]), env["BROKER_PORT"], administrator=True)
        self.points = Failpoints(self.var / "failpoints")
        self.checks = readiness.checks(env)
        self.marks: dict[str, int] = {}  # the size of a process's log when it was started here

    def runs(self, name: str) -> bool:
        """Whether it runs, or supervisord is starting it."""
        return self.control.state(name) not in GONE

    def pid(self, name: str) -> int:
        """The main process's id; 0 while supervisord restarts it."""
        return self.control.call("getProcessInfo", name)["pid"]

    def family(self, name: str) -> list[int]:
        """The ids of a process and its descendants; none while supervisord restarts it (pid 0 is ourselves)."""
        return descendants(pid) if (pid := self.pid(name)) else []

    def start(self, *names: str) -> None:
        """Start those that do not run, and wait until all of `names` are ready. Raises NotReady."""
        for name in names:
            if not self.runs(name):
                log = self.log(name)
                self.marks[name] = log.stat().st_size if log.exists() else 0
                with suppress(Refused):  # another thread has just started it
                    self.control.start([name])
        for name in names:
            self.wait(name)

    def stop(self, *names: str) -> None:
        """Stop processes together, and wait until all have stopped."""
        self.control.stop(names)

    def wait(self, name: str) -> None:
        """Wait until the process is ready. Raises NotReady."""
        deadline = time.monotonic() + TIMEOUT
        while not self.ready(name):
            if time.monotonic() > deadline or self.control.state(name) == "FATAL":
                raise NotReady(f"{name} is not ready. The last lines of its log:\n{servers.tail(self.log(name))}")
            time.sleep(0.05)

    def ready(self, name: str) -> bool:
        """Whether a process works, by its address or by its log since it began.

        A ping is no check for a worker: it has half a second, too short where many stacks share a machine.
        """
        kind = name.removeprefix(f"{NAIVE}-").removeprefix(f"{CHECKLIST}-").partition("-")[0]
        if kind in self.checks:
            return self.checks[kind]()
        info = self.control.call("getProcessInfo", name)
        if kind not in LOG_TEXTS or info["statename"] != "RUNNING" or info["now"] - info["start"] > SETTLED:
            return info["statename"] == "RUNNING"
        begins, ready = LOG_TEXTS[kind]
        text = self.log_since_start(name)
        return text.rfind(ready.format(pid=info["pid"])) > text.rfind(begins)

    def log(self, name: str) -> Path:
        return self.var / "log" / f"{name}.log"

    def log_since_start(self, name: str) -> str:
        """What it logged since it was started here; all of the file if it was rotated since."""
        with self.log(name).open("rb") as log:
            mark = self.marks.get(name, 0)
            log.seek(mark if mark <= os.fstat(log.fileno()).st_size else 0)
            return log.read().decode(errors="replace")

    def fault(self, partner: str, **switches: object) -> None:
        """Set a partner's faults; no switches end them. Raises urllib3's errors, and ValueError."""
        answer = urllib3.request("PUT", f"{self.partners}/faults/{partner}", json=switches, timeout=10)
        if answer.status != 200:
            raise ValueError(f"{partner} {switches}: {answer.data!r}")

    def heal(self) -> None:
        for partner in PARTNERS:
            self.fault(partner)

    def requests(self, partner: str) -> int:
        """The number of requests that have reached a partner."""
        return urllib3.request("GET", f"{self.partners}/traffic", timeout=10).json()[partner]["requests"]

    def effects(self, key: str) -> int:
        """How often the partners did the effect with this key."""
        found = urllib3.request("GET", f"{self.partners}/effects", fields={"key": key}, timeout=10).json()["effects"]
        return sum(effect["count"] for effect in found)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.broker, socket_timeout=5)

    def queued(self, queue: str) -> int:
        """The number of messages that wait in the broker."""
        with self.client() as client:
            return client.llen(queue)
