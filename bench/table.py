"""Measures how the ledger's table ages; prints megabytes, and pages read per query: `python -m bench.table [jobs]`.

Jobs go through the table one after the other: enqueue, claim, succeed. Vacuum runs every second. In turn with:
  as migrated  the thresholds for vacuum that the migrations set
  defaults     PostgreSQL's own thresholds: vacuum waits until a fifth of the table is dead
  held open    as migrated, beside another session's open transaction: vacuum can remove nothing
Pages (8 KB) are those that a statement touches at the end. Other load on the machine does not change them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from bench import cluster

DEFAULTS = "RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)"
BATCH = 100  # jobs in the queue at a time


def main(jobs: int) -> None:
    with cluster.running() as env:
        execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        execute("SELECT pg_reload_conf()")
        execute("SET synchronous_commit = off")
        measure("as migrated", jobs)
        with open_transaction(env["DATABASE_URL"]):
            measure("held open", jobs)
        execute(f"ALTER TABLE backroom_job {DEFAULTS}")
        measure("defaults", jobs)


@contextmanager
def open_transaction(url: str) -> Iterator[None]:
    """Another session's transaction that has read a snapshot and does not end."""
    with psycopg.connect(url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1 FROM pg_class")
        yield
        other.rollback()


def measure(name: str, jobs: int) -> None:
    """Print a line about an empty table after this number of jobs."""
    from backroom.ledger import rescue, transitions  # noqa: PLC0415 - need Django to be set up

    execute("TRUNCATE backroom_job CASCADE")
    work_off(jobs)
    ((table, indexes),) = execute("SELECT pg_table_size('backroom_job') / 1e6, pg_indexes_size('backroom_job') / 1e6")
    statements = {
        "claim": lambda: transitions.claim("01a00000-0000-7000-8000-000000000000", "bench"),
        "due": lambda: transitions.stage_due(500),
        "lost": lambda: rescue.lost_messages("default", None),
        "abandoned": rescue.requeue_abandoned,
    }
    read = "  ".join(f"{statement} {pages(call):5}" for statement, call in statements.items())
    print(f"{name:11}  table {table:6.1f} MB  indexes {indexes:6.1f} MB  pages: {read}", flush=True)


def work_off(jobs: int) -> None:
    """Send jobs through the ledger, each change of state committed on its own."""
    from backroom.ledger import transitions  # noqa: PLC0415 - need Django to be set up
    from bench import ledgered  # noqa: PLC0415

    for _ in range(jobs // BATCH):
        ledgered.enqueue(BATCH)
        for (id,) in execute("SELECT id FROM backroom_job WHERE state = 'ready'"):
            if claimed := transitions.claim(str(id), "bench"):
                transitions.succeed(claimed, None)


def pages(call: Callable[[], object]) -> int:
    """How many pages a call's statement on jobs touches."""
    found: list[int] = []

    def explain(execute: Callable, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        with connection.connection.cursor() as cursor:
            ((plans,),) = cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {sql}", parameters).fetchall()
        found.append(plans[0]["Plan"]["Shared Hit Blocks"] + plans[0]["Plan"]["Shared Read Blocks"])
        return execute("SELECT FROM backroom_job WHERE false", (), many, context)

    with connection.execute_wrapper(explain):
        call()  # the first scan marks dead index entries, where they are dead for all sessions
        call()
    return found[-1]


def execute(sql: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
