"""The processes of the shop: command, stop signal and grace period of each."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack import Problem, environment, servers
from stack.ports import HOST

QUEUES = {"critical": 2, "default": 2, "bulk": 2, "media": 1, "webhooks": 8}  # bodies at a time
# Threads: these bodies wait for strangers. No time limit holds in a thread, so deadlines of its own end each call.
THREADED = ("webhooks",)
YIELDING = ("bulk", "media")  # on a full machine they get a third of the CPU time that others get
# of the shop's processes
SECRETS = (
    *("SECRET_KEY", "DATABASE_URL", "BROKER_URL", "REDIS_URL", "EMAIL_URL", "VAPID_PRIVATE_KEY"),
    *environment.WEBHOOKS,
)
WORKER_GRACE = 70  # seconds, by default: more than a job's hard time limit


@dataclass(frozen=True)
class Process:
    """One supervised process. Stages start in ascending order and stop in descending order."""

    name: str
    command: list[str]
    stage: int
    stop: signal.Signals = signal.SIGTERM
    grace: int = 15  # seconds from the stop signal to SIGKILL
    standby: bool = False  # not started here: the lab may start it


def postgres(var: Path, port: int) -> Process:
    return Process("postgres", servers.postgres_command(var, port), stage=1, stop=signal.SIGINT, grace=30)


def valkey(var: Path) -> Process:
    return Process("valkey", servers.valkey_command(var), stage=1, grace=30)


def shop(env: Mapping[str, str]) -> list[Process]:
    """The shop's own processes, in the order in which they start."""
    grace = _worker_grace(env)
    workers = [Process(f"worker-{queue}", _worker(queue), stage=4, grace=grace) for queue in QUEUES]
    return [
        Process("partners", _python("-m", "partners", secrets=environment.WEBHOOKS), stage=2),
        Process("web", _web(env["WEB_PORT"]), stage=3, grace=30),
        *workers,
        Process("dispatcher", _python("manage.py", "dispatcher"), stage=5),
        Process("beat", _celery("beat"), stage=5),
        Process("watcher", _python("manage.py", "watcher"), stage=6),  # stops first, or it would alert about the others
        Process("flower", _flower(env), stage=6),
    ]


def _worker_grace(env: Mapping[str, str]) -> int:
    given = env.get("WORKER_GRACE") or str(WORKER_GRACE)
    if not given.isdecimal():
        raise Problem("WORKER_GRACE must be a number: the seconds from SIGTERM to SIGKILL of a worker")
    return int(given)


def _python(*arguments: str, secrets: Sequence[str] = SECRETS, yields: bool = False) -> list[str]:
    # `python -m gunicorn`, not `.venv/bin/gunicorn`: scripts break if the checkout's path has a space.
    nice = ["nice", "-n", "5"] if yields else []
    return [*servers.DIE_WITH_PARENT, "TERM", *environment.keeping(*secrets), *nice, sys.executable, *arguments]


def _celery(*arguments: str, yields: bool = False) -> list[str]:
    return _python("-m", "celery", "-A", "shop", *arguments, yields=yields)


def _web(port: str) -> list[str]:
    # Two processes use the CPUs; four threads each wait for the payment partner.
    address, secrets = f"--bind={HOST}:{port}", (*SECRETS, "METRICS_TOKEN")
    server = _python("-m", "gunicorn", "shop.wsgi", address, secrets=secrets)
    return [*server, "--workers=2", "--threads=4", "--graceful-timeout=25", "--no-control-socket"]


def _worker(queue: str) -> list[str]:
    # Without gossip and mingle a worker starts a second sooner, and resumes faster after a broker's restart.
    pool = f"--pool={'threads' if queue in THREADED else 'prefork'}", f"--concurrency={QUEUES[queue]}"
    name, lean = f"--hostname={queue}@%h", ("--without-gossip", "--without-mingle")
    return _celery("worker", f"--queues={queue}", name, *pool, *lean, yields=queue in YIELDING)


def _flower(env: Mapping[str, str]) -> list[str]:
    # FLOWER_BASIC_AUTH holds its password, because `ps` shows command lines to all users.
    database = Path(env["BACKROOM_VAR"]) / "flower.db"
    secrets = ("BROKER_URL", "REDIS_URL", "FLOWER_BASIC_AUTH")
    flower = _python("-m", "celery", "-A", "shop.flower", "flower", f"--address={HOST}", secrets=secrets)
    return [*flower, f"--port={env['FLOWER_PORT']}", "--conf=shop/flowerconfig.py", f"--db={database}"]
