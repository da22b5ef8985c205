"""Readiness checks for each process, with a timeout."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import celery
import kombu.exceptions
import redis
import urllib3

from stack import Problem, servers
from stack.processes import QUEUES
from stack.supervisor import Supervisor, SupervisorGone

SECONDS = 120  # ample for two busy cores
CRASH_LOOP = 5  # seconds after which a process that keeps dying counts as failed

Check = Callable[[], bool]


def checks(env: Mapping[str, str]) -> dict[str, Check]:
    """The check of each process. A process without one is ready when it runs."""
    found: dict[str, Check] = {
        "postgres": partial(servers.set_up_database, Path(env["BACKROOM_VAR"]), env["DATABASE_PORT"]),
        "valkey": partial(servers.broker_answers, env["BROKER_URL"]),
        "partners": partial(http_ok, f"{env['PARTNERS_URL']}/healthz"),
        "web": partial(http_ok, f"{env['SITE_URL']}/readyz"),
        "flower": partial(http_ok, f"{env['FLOWER_URL']}/healthcheck"),
    }
    if not env["BROKER_URL"].startswith(("redis", "amqp")):
        return found  # other transports, such as SQS, carry no pings
    return found | {f"worker-{queue}": partial(worker_answers, env["BROKER_URL"], queue) for queue in QUEUES}


def http_ok(url: str) -> bool:
    """True if the address answers 200 within two seconds."""
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def worker_answers(broker: str, queue: str) -> bool:
    """True if the queue's worker answers a ping, as for `celery inspect ping`, which takes a second of CPU to start."""
    with celery.Celery("ask", broker=broker, set_as_current=False) as app:
        try:
            return bool(app.control.ping(timeout=0.5, limit=1, pattern=f"{queue}@*", matcher="glob"))
        except (kombu.exceptions.OperationalError, redis.RedisError):  # the latter if the connection breaks
            return False


def until_answering(supervisor: Supervisor) -> None:
    """Wait until supervisord accepts calls. Raises Problem."""
    deadline = time.monotonic() + SECONDS
    while not supervisor.answers():
        if supervisor.child.poll() is not None or time.monotonic() > deadline:
            raise Problem(f"supervisord did not start:\n{servers.tail(supervisor.log('supervisord'))}")
        time.sleep(0.02)


def wait(supervisor: Supervisor, name: str, check: Check | None) -> None:
    """Wait until the process is ready. Raises Problem."""
    deadline = time.monotonic() + SECONDS
    crashing: float | None = None
    while True:
        try:
            state = supervisor.state(name)
        except SupervisorGone as error:
            raise Problem(f"supervisord died:\n{servers.tail(supervisor.log('supervisord'))}") from error
        # supervisord calls it RUNNING only after a second, but it may answer before.
        if check() if check and state in ("STARTING", "RUNNING") else state == "RUNNING":
            return
        now = time.monotonic()
        if state == "BACKOFF":
            crashing = crashing or now
        if state == "FATAL" or now > deadline or (crashing and now - crashing > CRASH_LOOP):
            log = supervisor.log(name)
            raise Problem(f"{name} did not become ready. The last lines of {log}:\n{servers.tail(log)}")
        time.sleep(0.05)
