"""Whether all processes work: each has a heartbeat in the database, each worker asks the broker for messages, and the
web is ready."""

import time

from backroom.runtime import heartbeat
from stack import readiness
from tests.machines.cluster import Machines

LIVELY = 3  # seconds; a consumer asks the broker once a second


def seconds_until_all_work(machines: Machines, longest: float) -> float:
    """Raises AssertionError, which names what does not."""
    began = time.monotonic()
    while missing := idle(machines):
        assert time.monotonic() < began + longest, f"after {longest:g} s without work: {missing}"
        time.sleep(0.1)
    return time.monotonic() - began


def idle(machines: Machines) -> dict[str, int]:
    """How many processes of each kind run and do not work."""
    runs = [name for name in machines.names if machines.runs(name)]
    wanted = {kind: sum(name.startswith(kind) for name in runs) for kind in ("worker", "dispatcher", "beat")}
    missing = {kind: count - len(heartbeat.alive(kind)) for kind, count in wanted.items()}
    missing["consumer"] = wanted["worker"] - consumers(machines)
    missing["web"] = int(not readiness.http_ok(f"{machines.site}/readyz"))
    return {kind: count for kind, count in missing.items() if count > 0}


def consumers(machines: Machines) -> int:
    with machines.client() as client:
        return sum(each["cmd"] == "brpop" and int(each["idle"]) < LIVELY for each in client.client_list())
