"""The lab's hands: it stops and starts processes through supervisord's socket, sends signals, breaks partners and the
broker, and puts everything right again. No Django here: the crash matrix uses parts of it before there is any."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

import redis
import urllib3

from lab import processes as house
from lab.faults.failpoints import Failpoints
from stack.readiness import http_ok
from stack.servers import broker_answers
from stack.supervisor import GONE, Control, Refused

PARTNERS = ("payments", "warehouse", "fraud", "analytics", "mail")
LEDGERED, NAIVE = "ledgered", "naive"
USUAL = {LEDGERED: house.LEDGERED, NAIVE: house.NAIVE}
SAYINGS = {"worker": " ready.", "beat": "beat: Starting"}  # what the log says when one of these is ready
PATIENCE = 120.0  # seconds for a process to be ready; on an idle machine it is two


class NotReady(Exception):
    """A process did not come up; the text names it."""


def descendants(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    found = [pid]
    for parent in found:
        for folder in Path(f"/proc/{parent}/task").glob("*"):
            with suppress(OSError):
                found += [int(child) for child in (folder / "children").read_text().split()]
    return found


def send(number: Signals, pids: Iterable[int]) -> None:
    """A signal to all of these that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def fault(partners: str, partner: str, **switches: object) -> None:
    """Set a partner's faults at the partners' address; none heals it. Raises urllib3's errors, and ValueError."""
    answer = urllib3.request("PUT", f"{partners}/faults/{partner}", json=switches, timeout=10)
    if answer.status != 200:
        raise ValueError(f"{partner} {switches}: {answer.data!r}")


def heal(partners: str) -> None:
    """No partner has a fault."""
    for partner in PARTNERS:
        fault(partners, partner)


class Machine:
    """The demo's processes, by the names that supervisord knows them by. `env` is that of one of them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        var = Path(env["BACKROOM_VAR"])
        self.control = Control(Path(env["SUPERVISOR_SERVER_URL"].removeprefix("unix://")))
        self.site, self.partners, self.broker = env["SITE_URL"], env["PARTNERS_URL"], env["BROKER_URL"]
        self.logs = var / "log"
        self.points = Failpoints(var / "failpoints")

    @property
    def variant(self) -> str:
        """Which shop runs."""
        return NAIVE if self.runs("naive-web") else LEDGERED

    def name(self, process: str) -> str:
        """What a process of the shop is called in the variant that runs."""
        return f"naive-{process}" if self.variant == NAIVE else process

    def runs(self, process: str) -> bool:
        return self.control.state(process) not in GONE

    def family(self, process: str) -> list[int]:
        """The ids of a process and of all below it; nobody while it is being started again (pid 0 is ourselves)."""
        pid = self.control.call("getProcessInfo", process)["pid"]
        return descendants(pid) if pid else []

    def kill(self, process: str) -> None:
        """SIGKILL to it and all below it; supervisord starts it anew."""
        send(SIGKILL, self.family(process))

    def start(self, *names: str) -> None:
        """Start those that don't run, and wait until they are ready. Raises NotReady."""
        asleep = [name for name in names if not self.runs(name)]
        marks = {name: self._size(name) for name in asleep}
        for name in asleep:
            with suppress(Refused):  # it was started a moment ago
                self.control.start([name])
        for name in asleep:
            self.wait(partial(self._ready, name, marks[name]), name)

    def stop(self, *names: str) -> None:
        """Stop them together, as `supervisorctl stop` does, and wait until they are gone."""
        self.control.stop(names)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until the condition holds. Raises NotReady."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise NotReady(f"{what} is not ready after {PATIENCE:g} s")
            time.sleep(0.1)

    def _ready(self, name: str, mark: int) -> bool:
        """Whether it is, by its address or by what its log says beyond the mark."""
        kind = name.removeprefix("naive-").partition("-")[0]
        if kind == "web":
            return http_ok(f"{self.site}/readyz")
        if kind in SAYINGS:
            with (self.logs / f"{name}.log").open("rb") as log:
                log.seek(mark if mark <= self._size(name) else 0)  # else it was rotated
                return SAYINGS[kind] in log.read().decode(errors="replace")
        return self.control.state(name) == "RUNNING"

    def _size(self, name: str) -> int:
        with suppress(FileNotFoundError):
            return (self.logs / f"{name}.log").stat().st_size
        return 0

    def fault(self, partner: str, **switches: object) -> None:
        """Set a partner's faults; none heals it."""
        fault(self.partners, partner, **switches)

    def effects(self, key: str) -> int:
        """How often the partners did what this key names."""
        found = urllib3.request("GET", f"{self.partners}/effects", fields={"key": key}, timeout=10).json()["effects"]
        return sum(effect["count"] for effect in found)

    def asked(self, partner: str) -> int:
        """How many requests have reached a partner."""
        return urllib3.request("GET", f"{self.partners}/traffic", timeout=10).json()[partner]["requests"]

    def client(self) -> redis.Redis:
        """A connection to the broker, for a `with`."""
        return redis.Redis.from_url(self.broker, socket_timeout=5)

    def queued(self, queue: str) -> int:
        """How many messages wait in the broker."""
        with self.client() as client:
            return client.llen(queue)

    def freeze_broker(self) -> None:
        """It keeps its connections and answers nobody."""
        send(SIGSTOP, self.family("valkey"))

    def flush_broker(self) -> None:
        """FLUSHALL. What binds the workers to Flower's questions is put back: Celery would declare it at their next
        start only (kombu's issue 1063), and until then nobody could ask them anything."""
        with self.client() as client:
            bindings = {key: client.smembers(key) for key in client.scan_iter("_kombu.binding.*")}
            client.flushall()
            for key, members in bindings.items():
                client.sadd(key, *members)

    def forget(self, queue: str, task: str) -> None:
        """Take the messages of a task out of a queue."""
        with self.client() as client, client.pipeline(transaction=False) as batch:
            for message in client.lrange(queue, 0, -1):
                if json.loads(message)["headers"]["task"] == task:
                    batch.lrem(queue, 1, message)
            batch.execute()

    def release(self) -> None:
        """Nobody is frozen, no point is armed, no partner has a fault. Safe at any time."""
        for process in self.control.call("getAllProcessInfo"):
            if process["pid"]:
                send(SIGCONT, descendants(process["pid"]))
        for file in self.points.folder.iterdir():
            file.unlink(missing_ok=True)
        heal(self.partners)

    def put_right(self) -> None:
        """`release`, and exactly those processes run that usually do in this variant. Raises NotReady."""
        self.start("valkey", "partners")
        self.wait(lambda: http_ok(f"{self.partners}/healthz"), "partners")
        self.release()
        self.wait(lambda: broker_answers(self.broker), "valkey")
        usual = USUAL[self.variant]
        self.stop(*(name for name in (*house.LEDGERED, *house.NAIVE, *house.SECOND.values()) if name not in usual))
        self.start(*usual)

    def switch(self, variant: str) -> None:
        """Stop one shop, warmly, and start the other one. What is left in its queues is thrown away: the ledger brings
        its own back, and the naive shop has nothing else. Raises NotReady."""
        self.stop(*(name for other in USUAL if other != variant for name in USUAL[other]))
        with self.client() as client:
            client.delete("critical", "default", "bulk", "unacked", "unacked_index")
        self.start(*USUAL[variant])
        for _ in range(8):  # each web process imports at its first request, and customers are not to wait for that
            with suppress(urllib3.exceptions.HTTPError):
                urllib3.request("GET", f"{self.site}/api/products", timeout=10, retries=False)
