"""Heartbeats: each process writes its row every two seconds. Only this module and the rescue's join use the table."""

import json
import os
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from backroom.conf import conf
from backroom.ledger.rescue import SILENCE
from backroom.ledger.sql import rows

EVERY = 2.0  # seconds
KEPT_WORKER, KEPT = 60, 3600  # seconds for which a silent worker, and another process, stays in the table

# Seconds. A watcher sends a heartbeat after each round, which takes up to 45 s while a mail server hangs.
SILENT = {"worker": SILENCE, "dispatcher": SILENCE, "beat": SILENCE, "watcher": 60}

READ = Path(__file__).with_name("heartbeats.sql").read_text()
BEAT = """
WITH silent AS (DELETE FROM backroom_heartbeat WHERE name <> %s AND seen_at < clock_timestamp()
    - CASE role WHEN 'worker' THEN %s ELSE %s END * interval '1 second')
INSERT INTO backroom_heartbeat (name, role, queues, pool, memory, session) VALUES (%s, %s, %s, %s, %s, COALESCE((
    SELECT usename || '/' || application_name FROM pg_stat_activity
    WHERE pid = pg_backend_pid() AND pid = %s AND application_name = %s), ''))
ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp(), queues = excluded.queues, memory = excluded.memory,
    session = excluded.session
RETURNING (SELECT jsonb_object_agg(id, cancel_at < clock_timestamp() - %s * interval '1 second') FROM backroom_job
           WHERE state = 'running' AND worker = backroom_heartbeat.name AND cancel_at IS NOT NULL)
"""

worker_name = ""  # of this worker; set before the pool forks, so that its children have it


def new_name(host: str = "") -> str:
    """A process's name. A restarted process is another one, hence the random part."""
    return f"{host or socket.gethostname()}/{uuid.uuid4().hex[:8]}"


def name_worker(host: str) -> None:
    """Name this process, and all database sessions of it and of its children: the rescue sees when none is left."""
    global worker_name
    worker_name = new_name(host)
    os.environ.setdefault("PGAPPNAME", session_name(worker_name))


def let_prepare(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Let the ledger prepare statements in a new session, unless a pooler shares it out: see Heartbeat.beat. Django
    lets the driver prepare none."""
    driver: Any = connection.connection
    if connection.vendor != "postgresql" or driver.prepare_threshold is not None:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        if cursor.fetchone() == (driver.info.backend_pid,):
            driver.prepare_threshold = sys.maxsize  # executions: only what asks to be prepared
            driver.prepared_max = 4  # texts that the driver keeps, also those of other statements with their values


def session_name(worker: str) -> str:
    """PostgreSQL keeps 63 bytes. The random part is at the end."""
    return worker[-63:]


@dataclass(frozen=True)
class Process:
    """As its last heartbeat left it. Only a worker has queues, a pool size and memory (bytes)."""

    name: str
    role: str
    queues: list[str]
    pool: int | None
    memory: int | None
    started_at: datetime
    seen_s: float

    @property
    def alive(self) -> bool:
        return self.seen_s < SILENT[self.role]


def read() -> list[Process]:
    """Every process, and those that fell silent and have no successor yet. Raises django.db.Error."""
    return [Process(*row) for row in rows(READ)]


def alive(role: str) -> list[Process]:
    return [process for process in read() if process.role == role and process.alive]


def served_queues() -> set[str]:
    """The queues that live workers consume. Raises django.db.Error."""
    return {queue for worker in alive("worker") for queue in worker.queues}


class Heartbeat:
    """One process's row. Errors of the database pass through."""

    def __init__(self, role: str, name: str = "", pool: int | None = None) -> None:
        self.role, self.name, self.pool = role, name or new_name(), pool
        self.due = 0.0

    def beat_if_due(self) -> None:
        """Beat, if the last one was EVERY seconds ago."""
        if time.monotonic() >= self.due:
            self.beat()
            self.due = time.monotonic() + EVERY

    def beat(self, queues: str = "", memory: int | None = None) -> dict[str, bool]:
        """Write the heartbeat, and delete those of processes long silent. `queues` are those that a worker consumes
        now, with commas; `memory` is in bytes. Returns the ids of its running jobs that a person cancelled, and whether
        the grace of each is over.

        The row names the worker's sessions only if PostgreSQL sees their end: it is the backend that answers which
        greeted the driver, so there is no pooler that keeps the session, or closes it, as it likes."""
        connection.ensure_connection()
        greeted = connection.connection.info.backend_pid if self.role == "worker" else 0
        about = self.name, self.role, queues, self.pool, memory
        sent = self.name, KEPT_WORKER, KEPT, *about, greeted, session_name(self.name), conf.CANCEL_GRACE
        ((cancelled,),) = rows(BEAT, *sent)
        return json.loads(cancelled or "{}")

    def stop(self) -> None:
        """Delete the row: the process ends on purpose."""
        rows("DELETE FROM backroom_heartbeat WHERE name = %s RETURNING name", self.name)
