"""The demo's running stack: which shop runs, how its broker fails, and how everything returns to normal."""

import json
import os
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import urllib3

from lab.faults import LEDGERED
from lab.faults.stack import RunningStack, descendants, send
from lab.processes import SECOND, USUAL
from stack.processes import QUEUES
from stack.supervisor import Control

ALL = (*(name for names in USUAL.values() for name in names), *SECOND.values())


class DemoStack(RunningStack):
    """The stack to which this process belongs."""

    def __init__(self) -> None:
        super().__init__(Control(Path(os.environ["SUPERVISOR_SERVER_URL"].removeprefix("unix://"))), os.environ)

    @property
    def variant(self) -> str:
        """The shop that runs; see lab/faults."""
        return next((shop for shop in USUAL if shop != LEDGERED and self.runs(f"{shop}-web")), LEDGERED)

    def name(self, process: str) -> str:
        """The name of a shop's process in the variant that runs."""
        return process if self.variant == LEDGERED else f"{self.variant}-{process}"

    def kill(self, process: str) -> None:
        """SIGKILL a process and its descendants. supervisord restarts it."""
        send(SIGKILL, self.family(process))

    def freeze_broker(self) -> None:
        """The broker keeps its connections and stops answering."""
        send(SIGSTOP, self.family("valkey"))

    def flush_broker(self) -> None:
        """FLUSHALL, then restore the bindings of the workers' remote control, which Flower needs.

        Celery would declare those only when a worker starts (https://github.com/celery/kombu/issues/1063).
        """
        with self.client() as client:
            bindings = {key: client.smembers(key) for key in client.scan_iter("_kombu.binding.*")}
            client.flushall()
            for key, members in bindings.items():
                client.sadd(key, *members)

    def delete_messages(self, queue: str, task: str) -> None:
        """Delete the messages of a task from a queue."""
        with self.client() as client, client.pipeline(transaction=False) as batch:
            for message in client.lrange(queue, 0, -1):
                if json.loads(message)["headers"]["task"] == task:
                    batch.lrem(queue, 1, message)
            batch.execute()

    def thaw(self) -> None:
        """Continue all frozen processes, and clear the failpoints. Safe at any time."""
        for process in self.control.call("getAllProcessInfo"):
            if process["pid"]:
                send(SIGCONT, descendants(process["pid"]))
        self.points.clear()

    def restore(self) -> None:
        """End all faults, and run exactly the usual processes of this variant. Raises NotReady."""
        self.thaw()
        self.start("valkey", "partners")
        self.heal()
        usual = USUAL[self.variant]
        self.stop(*(name for name in ALL if name not in usual))
        self.start(*usual)

    def switch(self, variant: str) -> None:
        """Stop one shop warmly, empty its queues and start the other shop. Raises NotReady.

        The ledger publishes its own messages again. Those of a shop without one are lost, as no other process has them.
        """
        self.stop(*(name for other in USUAL if other != variant for name in USUAL[other]))
        with self.client() as client:
            client.delete(*QUEUES, "unacked", "unacked_index")
        self.start(*USUAL[variant])
        for _ in range(8):  # each web process imports the pages at its first request, and no customer waits for it
            with suppress(urllib3.exceptions.HTTPError):
                urllib3.request("GET", f"{self.site}/api/products", timeout=10, retries=False)
