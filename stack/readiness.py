"""When is a process ready? Each is asked in its own way, and nobody waits for one that does not come."""

import time
from collections.abc import Callable, Mapping
from functools import partial

import celery
import kombu.exceptions
import redis
import urllib3

from stack import Problem, servers
from stack.processes import QUEUES
from stack.supervisor import Supervisor, SupervisorGone

SECONDS = 120  # much for two busy cores; a process that is not ready by then will not be
STUMBLING = 5  # seconds in which a process that keeps dying has nothing more to tell us

Check = Callable[[], bool]


class NotReady(Problem):
    """A process did not come up; the text ends with the last lines of its log."""


def checks(env: Mapping[str, str]) -> dict[str, Check]:
    """How to ask each process; one that is not listed is ready when it runs."""
    found: dict[str, Check] = {
        "postgres": partial(servers.create_database, env["DATABASE_URL"]),
        "valkey": partial(servers.broker_answers, env["BROKER_URL"]),
        "partners": partial(http_ok, f"{env['PARTNERS_URL']}/healthz"),
        "web": partial(http_ok, f"{env['SITE_URL']}/readyz"),
        "flower": partial(http_ok, f"{env['FLOWER_URL']}/healthcheck"),
    }
    if not env["BROKER_URL"].startswith(("redis", "amqp")):
        return found  # the other transports, SQS among them, carry no pings
    return found | {f"worker-{queue}": partial(worker_answers, env["BROKER_URL"], queue) for queue in QUEUES}


def http_ok(url: str) -> bool:
    """True if the address answers 200 within two seconds."""
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def worker_answers(broker: str, queue: str) -> bool:
    """True if the worker of the queue answers a ping, sent over the broker as `celery inspect ping` does.

    The command would take a second of CPU to start; this needs no settings, only the broker.
    """
    with celery.Celery("ask", broker=broker, set_as_current=False) as app:
        try:
            return bool(app.control.ping(timeout=0.5, limit=1, pattern=f"{queue}@*", matcher="glob"))
        except (kombu.exceptions.OperationalError, redis.RedisError):  # the latter of a line that broke meanwhile
            return False


def until_answering(supervisor: Supervisor) -> None:
    """Returns when supervisord takes calls. Raises NotReady."""
    deadline = time.monotonic() + SECONDS
    while not supervisor.answers():
        if supervisor.child.poll() is not None or time.monotonic() > deadline:
            raise NotReady(f"supervisord did not start:\n{servers.tail(supervisor.log('supervisord'))}")
        time.sleep(0.02)


def wait(supervisor: Supervisor, name: str, check: Check | None) -> None:
    """Returns when the process is ready. Raises NotReady."""
    deadline = time.monotonic() + SECONDS
    stumbled: float | None = None
    while True:
        try:
            state = supervisor.state(name)
        except SupervisorGone as error:
            raise NotReady(f"supervisord is gone:\n{servers.tail(supervisor.log('supervisord'))}") from error
        # supervisord calls it RUNNING after a second; who answers before that is ready.
        if check() if check and state in ("STARTING", "RUNNING") else state == "RUNNING":
            return
        now = time.monotonic()
        if state == "BACKOFF":
            stumbled = stumbled or now
        if state == "FATAL" or now > deadline or (stumbled and now - stumbled > STUMBLING):
            log = supervisor.log(name)
            raise NotReady(f"{name} did not become ready. The last lines of {log}:\n{servers.tail(log)}")
        time.sleep(0.05)
