"""`python -m tests.chaos.busy`: while 20 other processes want the processors, no live worker loses a job, however long
it runs and whatever befalls its database sessions. Prints a line for each trial. Exit status 1 if a job ran twice.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL, SIGQUIT

from django.db import Error, connection

from bench import cluster
from lab.faults.stack import descendants, send
from stack import environment, servers, signals
from tests import pooler
from tests.waiting import until

BURNERS = 20
SECONDS = 24  # of a body
EVERY = 3.0  # seconds between two harms
WORKER = "worker --queues=bulk --concurrency=4 --without-gossip --without-mingle --loglevel=WARNING --hostname=busy@%h"
PREFORK, THREADS = "--pool=prefork", "--pool=threads"
ALL, NO_STATEMENT = ("waits", "computes", "in_c", "in_a_statement"), ("waits", "computes", "in_c")
PYTHON_ONLY = ("waits", "computes")  # a call that keeps Python's lock stops a thread's heartbeat, too: a written limit
Harm = Callable[[ExitStack], object]


@contextmanager
def process(*command: str, env: dict[str, str] | None = None) -> Iterator[None]:
    with (Path(os.environ["BACKROOM_VAR"]) / "log" / "busy.log").open("ab") as log:
        child = subprocess.Popen([sys.executable, *command], env=os.environ | (env or {}), stdout=log, stderr=log)
    try:
        yield
    finally:
        send(SIGKILL, descendants(child.pid))
        child.wait()


def nothing(stack: ExitStack) -> None:
    """The machine is busy, no more."""


def all_sessions_end(stack: ExitStack) -> None:
    _end("true")


def the_heartbeats_session_ends(stack: ExitStack) -> None:
    _end("query LIKE '%%backroom_heartbeat%%'")


def _end(which: str) -> None:
    from backroom.ledger.sql import rows  # noqa: PLC0415 - needs Django to be set up

    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'busy@%%' AND "
    rows(ended + which)


def the_database_crashes(stack: ExitStack) -> None:
    """All sessions end at once. It starts anew."""
    var = Path(os.environ["BACKROOM_VAR"])
    lock = var / "postgres" / "postmaster.pid"
    connection.close()
    os.kill(int(lock.read_text().split()[0]), SIGQUIT)
    until(lambda: not lock.exists(), 60)
    command = servers.postgres_command(var, int(os.environ["DATABASE_PORT"]))
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(server.wait)
    stack.callback(server.send_signal, SIGQUIT)
    until(_answers, 60)


def _answers() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


def trial(stack: ExitStack, env: dict[str, str], pool: str, bodies: tuple[str, ...], harm: Harm) -> list[str]:
    """Returns what each job became that was not claimed once and done."""
    from backroom.ledger.models import Job, State  # noqa: PLC0415 - need Django to be set up
    from backroom.runtime import heartbeat  # noqa: PLC0415
    from tests.chaos import long_bodies  # noqa: PLC0415

    with process("-m", "celery", "-A", "tests.chaos.long_bodies:app", *WORKER.split(), pool, env=env):
        until(lambda: heartbeat.alive("worker"), 120)
        jobs = Job.objects.filter(id__in=[getattr(long_bodies, name).enqueue(SECONDS) for name in bodies])
        until(lambda: jobs.filter(state=State.RUNNING).count() == len(bodies), 60)
        while jobs.filter(state=State.RUNNING).exists():
            harm(stack)
            time.sleep(EVERY)
        until(lambda: not jobs.exclude(state=State.SUCCEEDED).exists(), 120)
    until(lambda: not heartbeat.alive("worker"), 30)
    return [f"{job.task} was claimed {job.claims} times" for job in jobs if job.claims != 1]


def main() -> int:
    failed = 0
    with cluster.running(LOG_FORMAT="json") as env, ExitStack() as stack:
        folder = Path(env["BACKROOM_VAR"])
        for _ in range(BURNERS):
            stack.enter_context(process("-c", "while True: pass"))
        stack.enter_context(process("manage.py", "dispatcher"))
        direct, password = env["DATABASE_PORT"], environment.secret(folder, "database")
        server = f"host=127.0.0.1 port={direct} user={environment.SUPERUSER} password={password}"
        port = stack.enter_context(pooler.running(folder, server))
        pooled = {"DATABASE_URL": os.environ["DATABASE_URL"].replace(f":{direct}/", f":{port}/")}
        for name, env, pool, bodies, harm in (
            ("busy", {}, PREFORK, ALL, nothing),
            ("busy, threads", {}, THREADS, PYTHON_ONLY, nothing),
            ("busy, behind PgBouncer", pooled, PREFORK, ALL, nothing),
            ("all its sessions end, again and again", {}, PREFORK, NO_STATEMENT, all_sessions_end),
            ("its heartbeat's session ends, again and again", {}, PREFORK, ALL, the_heartbeats_session_ends),
            ("the database crashes, again and again", {}, PREFORK, NO_STATEMENT, the_database_crashes),
        ):
            twice = trial(stack, env, pool, bodies, harm)
            print(f"{name}: {'; '.join(twice) or 'each job ran once'}; load {os.getloadavg()[0]:.0f}", flush=True)
            failed += bool(twice)
    return int(failed > 0)


if __name__ == "__main__":
    signals.install()
    sys.exit(main())
