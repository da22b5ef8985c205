"""Running processes: their children, and the broker, which stands still for a while."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP

from lab.faults.stack import descendants, send
from tests.messages import redis_client


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@contextmanager
def broker_frozen() -> Iterator[None]:
    """Freeze all servers that hold messages, during the block."""
    pids = broker_pids()
    send(SIGSTOP, pids)
    try:
        yield
    finally:
        send(SIGCONT, pids)


def broker_pids() -> list[int]:
    if given := os.environ.get("BROKER_PIDS"):
        return [pid for main in given.split(",") for pid in descendants(int(main))]
    with redis_client() as server:
        return [int(server.info("server")["process_id"])]
