"""Measures statements beside many jobs; prints the CPU and the pages of PostgreSQL for each: `python -m bench.growth`.

Four databases of one server, in turn: with 10 thousand, 1 million and 10 million finished jobs, and with 1 million that
wait in a queue. A round enqueues jobs for later, stages the due ones, claims and finishes each, and looks for lost
ones.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from django.db import connection

from bench import cluster, results
from bench.pages import backend_seconds
from bench.table import execute, pages

BATCH = 1_000_000
JOBS, LOOKS = 200, 50  # in each round
SIZES = {"finished": (10_000, 300_000), "waiting": (100_000,)}
if not results.quick():
    SIZES = {"finished": (10_000, 1_000_000, 10_000_000), "waiting": (1_000_000,)}
FILL = """
INSERT INTO backroom_job (id, task, queue, args, key, max_attempts, takes_result, context, state, published_at,
                          created_at, started_at, finished_at, claims, attempts, worker, result, error)
SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       'orders.mail_receipt', 'default', jsonb_build_object('number', n), 'receipt:' || n, 16, '', '{{}}', {columns}
FROM generate_series({first}, {last}) n
"""
COLUMNS = {
    "finished": "'succeeded', now(), now(), now(), now() + interval '20 ms', 1, 1, 'one', 'null'::jsonb, ''",
    "waiting": "'ready', now(), now(), NULL, NULL, 0, 0, '', NULL, ''",
}


def main() -> None:
    with cluster.running():
        # Only the filling is faster for it; no statement is measured by the clock.
        execute("ALTER SYSTEM SET max_wal_size = '16GB'")
        execute("SELECT pg_reload_conf()")
        databases = {(state, size): fill(state, size) for state, sizes in SIZES.items() for size in sizes}
        rounds: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
        for _ in range(3 if results.quick() else 7):
            for database, name in databases.items():
                connect(name)
                measure(10, 5)  # warms the session up
                rounds[database].append(measure(JOBS, LOOKS))
        rows = [row(name, *database, rounds[database]) for database, name in databases.items()]
    for each in rows:
        print("  ".join(f"{name} {value}" for name, value in each.items()), flush=True)
    results.save("growth", rows)


def connect(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def fill(state: str, size: int) -> str:
    """A database with this number of jobs; returns its name."""
    name = f"{state}_{size}"
    connect("postgres")
    execute(f"CREATE DATABASE {name} TEMPLATE backroom")
    connect(name)
    execute("SET synchronous_commit = off")
    execute("SET statement_timeout = 0")
    for first in range(1, size + 1, BATCH):
        execute(FILL.format(first=first, last=min(first + BATCH - 1, size), columns=COLUMNS[state]))
    execute("VACUUM ANALYZE backroom_job")
    return name


def measure(jobs: int, looks: int) -> dict[str, float]:
    """Microseconds of PostgreSQL's CPU for a job, or for a look that finds nothing."""
    from backroom.ledger import enqueueing, rescue, transitions  # noqa: PLC0415 - need Django to be set up
    from backroom.runtime.call import Call  # noqa: PLC0415

    found: dict[str, float] = {}

    def timed(name: str, count: int, calls: Sequence[Callable[[], object]]) -> list:
        begin = backend_seconds()
        answers = [call() for call in calls]
        found[name] = (backend_seconds() - begin) / count * 1e6
        return answers

    rows = [{**Call("bench.nothing", {}, "default", 16).row(None, {}), "delay": 0} for _ in range(jobs)]
    timed("insert", jobs, [partial(enqueueing.insert, rows)])
    (due,) = timed("due", jobs, [partial(transitions.stage_due, jobs)])
    claimed = timed("claim", jobs, [partial(transitions.claim, each.id, "bench") for each in due])
    timed("finish", jobs, [partial(transitions.succeed, each, None) for each in claimed])
    timed("look", looks, [partial(transitions.stage_due, 500)] * looks)
    oldest = oldest_waiting()
    timed(
        "rescue",
        looks,
        [
            rescue.requeue_abandoned,
            rescue.release_followers,
            rescue.mark_orphans_dead,
            partial(rescue.lost_messages, "default", oldest),
        ]
        * looks,
    )
    return found


def oldest_waiting() -> float | None:
    """The stamp that the broker's oldest message would have."""
    ((stamp,),) = execute("SELECT extract(epoch FROM min(published_at))::float FROM backroom_job WHERE state = 'ready'")
    return stamp


def row(database: str, state: str, size: int, rounds: list[dict[str, float]]) -> results.Row:
    from backroom.ledger import rescue, transitions  # noqa: PLC0415 - need Django to be set up

    connect(database)
    oldest = oldest_waiting()
    medians = {f"{name}_us": round(statistics.median(each[name] for each in rounds), 1) for name in rounds[0]}
    calls: dict[str, Callable[[], object]] = {
        "claim": lambda: transitions.claim("01a00000-0000-7000-8000-000000000000", "bench"),
        "due": lambda: transitions.stage_due(500),
        "lost": lambda: rescue.lost_messages("default", oldest),
        "abandoned": rescue.requeue_abandoned,
    }
    return {"state": state, "jobs": size, **medians, **{f"{name}_pages": pages(call) for name, call in calls.items()}}


if __name__ == "__main__":
    main()
