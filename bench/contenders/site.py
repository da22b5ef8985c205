"""A contender set up on the servers of a measurement: its own database, its processes, its journal.

All processes are those of this Python, so it must be var-bench's.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
import redis

from bench.contenders import Contender
from stack import Problem, environment, servers

PREPARED = "django_content_type", "django_migrations", "auth_permission"


class Line(NamedTuple):
    word: str
    id: str
    at: float


class Site:
    """Make it, `prepare` once, then `empty` before each round. `env` is that of cluster.running()."""

    def __init__(self, contender: Contender, env: Mapping[str, str]) -> None:
        self.contender = contender
        self.var = Path(env["BACKROOM_VAR"])
        name = re.sub(r"\W+", "_", contender.name.lower())
        self.journal, self.log = self.var / f"{name}.journal", self.var / f"{name}.log"
        broker = environment.broker_url(self.var, env["BROKER_PORT"], administrator=True)
        self.broker = redis.Redis.from_url(broker)
        self.database = f"bench_{name}"
        self.url = environment.database_url(self.var, env["DATABASE_PORT"], environment.SUPERUSER, self.database)
        self.env = {
            **os.environ,
            **env,
            **contender.env,
            "DJANGO_SETTINGS_MODULE": "bench.contenders.settings",
            "DATABASE_URL": self.url,
            "BROKER_URL": broker,
            # Settings that are read from the environment alone. By default relier refuses more than 500 jobs a second,
            # and a Dramatiq worker of one thread fetches two messages at a time: a fifth of the speed.
            "RELIER_REDIS_URL": broker,
            "RELIER_ADMISSION_LIMIT": "1000000",
            "dramatiq_queue_prefetch": "50",
            "BENCH_JOURNAL": str(self.journal),
        }

    def prepare(self) -> None:
        """Create the database, and the contender's tables in it. Raises Problem."""
        with psycopg.connect(self.url.removesuffix(self.database) + "postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        if self.start([("-m", "django", "migrate", "--verbosity=0")])[0].wait():
            raise Problem(f"{self.contender.name}: migrate failed:\n{servers.tail(self.log)}")

    def empty(self) -> None:
        """Forget all jobs and the journal. No process may run."""
        self.broker.flushall()
        with psycopg.connect(self.url) as connection:
            tables = connection.execute("SELECT relid::regclass::text, relname FROM pg_stat_user_tables").fetchall()
            names = ", ".join(table for table, name in tables if name not in PREPARED)
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        self.journal.write_bytes(b"")

    def start(self, commands: Sequence[Sequence[str]]) -> list[subprocess.Popen]:
        """Start processes; what they print goes to the log, as a supervisor keeps it."""
        with self.log.open("ab") as log:
            return [
                subprocess.Popen(
                    [sys.executable, *command], env=self.env, stdout=log, stderr=log, start_new_session=True
                )
                for command in commands
            ]

    @contextmanager
    def processes(self) -> Iterator[list[subprocess.Popen]]:
        """The services and the workers during the block. Yields the workers; `start` can start more."""
        self.services = self.start(self.contender.services)
        self.workers = self.start(self.contender.workers)
        try:
            yield self.workers
        finally:
            end([*self.workers, *self.services])

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A process that enqueues, during the block."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.contenders.client", self.contender.module],
                env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        client = Client(process)
        try:
            client.answer()
            yield client
        finally:
            end([process])

    def lines(self, word: str | None = None) -> list[Line]:
        """The journal so far; of one word, if it is given."""
        found = (line.split() for line in self.journal.read_text().splitlines())
        return [Line(said, id, float(at)) for said, id, at in found if word in (None, said)]

    def wait_for(self, number: int, word: str = "done", seconds: float = 60) -> list[Line]:
        """Wait until this number of jobs have a line of the word, or the time is up. Returns the lines."""
        deadline = time.monotonic() + seconds
        while True:
            lines = self.lines(word)
            if len({line.id for line in lines}) >= number or time.monotonic() > deadline:
                return lines
            time.sleep(0.02)


class Client:
    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def send(self, body: str, calls: Sequence[Sequence[Any]], how: str = "one", rate: float | None = None) -> None:
        """Begin to enqueue. client.py says how."""
        print(json.dumps({"body": body, "calls": calls, "how": how, "rate": rate}), file=self.process.stdin, flush=True)

    def answer(self) -> str:
        """Wait for the last command's end. Raises EOFError if the process has died."""
        if not (line := self.process.stdout and self.process.stdout.readline()):
            raise EOFError("the enqueueing process has ended")
        return line.strip()

    def enqueue(self, body: str, calls: Sequence[Sequence[Any]], how: str = "one", rate: float | None = None) -> float:
        """Enqueue; returns the seconds that it took."""
        self.send(body, calls, how, rate)
        return float(self.answer())


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    """A process and all below it; the main process is the first."""
    try:
        main = psutil.Process(process.pid)
        return [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Sequence[subprocess.Popen], seconds: float = 20) -> None:
    """Ask the processes to stop, then kill what is left of them, with their children."""
    trees = [each for process in processes for each in tree(process)]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for each in trees:
        if each.is_running():
            each.kill()
