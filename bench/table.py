"""How the ledger's table ages while jobs go through it: `python -m bench.table [jobs]`.

The ledger's own statements (insert, claim, succeed), each committed, run in a loop inside PostgreSQL: as fast as it
can, and vacuum looks every five seconds instead of every minute. In turn with:
  as it is     the table as the migrations make it
  defaults     PostgreSQL's own thresholds for vacuum: a fifth of the table dead
  eager        as it is, with a vacuum that never rests (no cost delay)
  fillfactor   30 % of each page left free for new versions of its rows
  no indexes   without those that name the state: updates could be in place (HOT), and no dispatcher could ask
  held         as it is, beside a transaction that was left open, so that vacuum may take nothing away
For each: jobs a second; the share of updates in place; megabytes of table and indexes; and how many pages of 8 KB a
claim and the dispatcher's questions touch at the end, which no load of the machine changes.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from bench import cluster

STATED = ("backroom_waiting", "backroom_ready", "backroom_running", "backroom_dead")
RESET = "ALTER TABLE backroom_job RESET (fillfactor, autovacuum_vacuum_cost_delay)"
THRESHOLDS = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000"
SHAPES = {
    "as it is": "SELECT",
    "defaults": "ALTER TABLE backroom_job RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
    "eager": "ALTER TABLE backroom_job SET (autovacuum_vacuum_cost_delay = 0)",
    "fillfactor": "ALTER TABLE backroom_job SET (fillfactor = 70)",
    "no indexes": f"DROP INDEX {', '.join(STATED)}",
    "held": "SELECT",
}
# A hundred jobs are there at a time. The first parameters are the worker's name and the result.
LOOP = """
DO $$ DECLARE number int; ids uuid[]; id uuid; BEGIN
    FOR number IN 1..{hundreds} LOOP
        ids := ARRAY(SELECT uuidv7() FROM generate_series(1, 100));
        EXECUTE {insert} USING (SELECT jsonb_agg(jsonb_build_object('id', one, 'task', 'bench.nothing', 'takes_result',
            '', 'queue', 'default', 'args', '{{}}'::jsonb, 'max_attempts', 8, 'key', one, 'context', '{{}}'::jsonb))
            FROM unnest(ids) one);
        COMMIT;
        FOREACH id IN ARRAY ids LOOP
            EXECUTE {claim} USING 'bench', id; COMMIT;
            EXECUTE {succeed} USING 'null'::jsonb, id, 1; COMMIT;
        END LOOP;
    END LOOP;
END $$
"""


def main(jobs: int) -> None:
    """Print a line for each shape."""
    with cluster.running() as env:
        execute("ALTER SYSTEM SET autovacuum_naptime = '5s'", "SELECT pg_reload_conf()")
        execute("SET statement_timeout = 0", "SET synchronous_commit = off")
        loop = statements(jobs)
        for shape, change in SHAPES.items():
            with shaped(change), open_transaction(env["DATABASE_URL"], shape == "held"):
                found = measure(loop, jobs)
            print(f"{shape:11}", "  ".join(f"{name} {value:7.1f}" for name, value in found.items()), flush=True)


def statements(jobs: int) -> str:
    """The loop over the SQL that the ledger itself sends."""
    from backroom.ledger import sql, transitions  # noqa: PLC0415 - needs Django to be set up

    job = sql.Claimed(*[None] * len(sql.Claimed._fields))._replace(id="0" * 32, claims=1)  # type: ignore[arg-type]
    sent = {
        "insert": recorded(lambda: transitions.insert([])),
        "claim": recorded(lambda: transitions.claim("0" * 32, "")),
        "succeed": recorded(lambda: transitions._succeed(job, "null")),
    }
    return LOOP.format(hundreds=jobs // 100, **{name: f"$sql${sql}$sql$" for name, sql in sent.items()})


def recorded(call: Callable[[], object]) -> str:
    """The statement that a call sends, with numbered parameters."""
    found: list[str] = []

    def record(execute: Callable, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        for number in range(1, sql.count("%s") + 1):
            sql = sql.replace("%s", f"${number}", 1)
        found.append(sql)
        return execute("SELECT FROM backroom_job WHERE false", (), many, context)

    with connection.execute_wrapper(record):
        call()
    return found[0]


@contextmanager
def shaped(change: str) -> Iterator[None]:
    """The empty table with this change."""
    definitions = [rows(f"SELECT pg_get_indexdef('{name}'::regclass)")[0][0] for name in STATED]
    execute("TRUNCATE backroom_job", change)
    yield
    execute(RESET, f"ALTER TABLE backroom_job SET ({THRESHOLDS})")
    execute(*(line.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS") for line in definitions))


@contextmanager
def open_transaction(url: str, held: bool) -> Iterator[None]:
    """Another session's transaction that has seen the tables as they were, and does not end."""
    with psycopg.connect(url) as other:
        if held:
            other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            other.execute("SELECT count(*) FROM backroom_job")
        yield
        other.rollback()


def measure(loop: str, jobs: int) -> dict[str, float]:
    """Send the jobs through."""
    from backroom.ledger import rescue, transitions  # noqa: PLC0415 - need Django to be set up

    before, begin = counters(), time.perf_counter()
    execute(loop)
    seconds = time.perf_counter() - begin
    updated, in_place = (after - was for after, was in zip(counters(), before, strict=True))
    ((table, indexes),) = rows("SELECT pg_table_size('backroom_job') / 1e6, pg_indexes_size('backroom_job') / 1e6")
    return {
        "jobs/s": jobs / seconds,
        "% in place": 100 * in_place / updated,
        "table MB": float(table),
        "indexes MB": float(indexes),
        "pages: claim": pages(lambda: transitions.claim("01a00000-0000-7000-8000-000000000000", "bench")),
        "due": pages(lambda: transitions.stage_due(500)),
        "unclaimed": pages(lambda: rescue.lost_messages("default", None)),
        "silent": pages(rescue.requeue_abandoned),
    }


def pages(call: Callable[[], object]) -> int:
    """How many pages the last statement of a call touches."""
    found: list[int] = []

    def explain(execute: Callable, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        with connection.connection.cursor() as cursor:
            ((plans,),) = cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {sql}", parameters).fetchall()
        found.append(plans[0]["Plan"]["Shared Hit Blocks"] + plans[0]["Plan"]["Shared Read Blocks"])
        return execute("SELECT FROM backroom_job WHERE false", (), many, context)

    with connection.execute_wrapper(explain):
        call()  # the first one to ask marks what is dead in the index, where it is dead for all
        call()
    return found[-1]


def counters() -> tuple[int, int]:
    """Updates of the table until now, and those in place."""
    time.sleep(1.5)  # sessions report what they did once a second
    return rows("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'backroom_job'")[0]


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def rows(sql: str) -> list:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
