"""Measures what one order costs in all, from its click to its delivery, in the whole shop: `python -m bench.order`.

Prints jobs, CPU time of each part, WAL and the ledger's bytes of an order. What the shop uses at rest is subtracted.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

import psycopg
import urllib3

from bench import people, results, shop
from bench.usage import Meter
from lab.faults.customers import cheap

SECONDS = 5.0 if results.quick() else 30.0
REST = 5.0 if results.quick() else 15.0
PATIENCE = 300.0  # seconds until the last parcel has arrived
PARTS = {  # by the beginning of a process's name; the partners are no part of the shop
    "web": "web", "workers": "worker-", "PostgreSQL": "postgres", "Valkey": "valkey", "dispatcher": "dispatcher",
    "Flower": "flower",
}  # fmt: skip
NOW = """
SELECT (SELECT count(*) FROM orders_order), (SELECT count(*) FROM backroom_job),
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float, (SELECT wal_fpi FROM pg_stat_wal)::float,
       pg_table_size('backroom_job')::float, pg_indexes_size('backroom_job')::float
"""
NAMES = ("orders", "jobs", "wal_bytes", "wal_images", "table_bytes", "index_bytes")
OPEN = """
SELECT count(*) FROM orders_order WHERE delivered_at IS NULL AND status IN ('placed', 'paid') UNION ALL
SELECT count(*) FROM backroom_job WHERE state IN ('ready', 'running')
OR (state = 'waiting' AND run_at < now() + interval '1 hour')
"""
RUN_MS = """
SELECT avg(extract(epoch FROM finished_at - started_at))::float * 1000 FROM backroom_job WHERE state = 'succeeded'
"""


def main() -> None:
    with shop.running(SHIPS_AFTER="1", DELIVERS_AFTER="2") as (stack, pids):
        from catalog.models import Product  # noqa: PLC0415 - needs Django to be set up

        Product.objects.update(stock=10_000_000)
        products = cheap(urllib3.request("GET", f"{stack.site}/api/products").json()["items"])
        buy = partial(people.order, stack.site, products, SECONDS)
        with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as database:
            until_delivered(database, buy)  # else imports, and the first image of each page, would count
            at_rest = {name: seconds / REST for name, seconds in Meter(pids).run(REST).items()}
            row = measure(database, pids, at_rest, buy)
    for name, value in row.items():
        print(f"{name:20} {value:10.2f}")
    results.save("order", [row], seconds=SECONDS)


def measure(
    database: psycopg.Connection, pids: Mapping[str, int], at_rest: Mapping[str, float], buy: Callable[[], object]
) -> results.Row:
    """The figures of an order."""
    before, meter, begin = now(database), Meter(pids), time.monotonic()
    until_delivered(database, buy, meter)
    seconds = time.monotonic() - begin
    grown = {name: value - before[name] for name, value in now(database).items()}
    orders = grown.pop("orders")
    cpu = {name: (used - at_rest[name] * seconds) / orders * 1000 for name, used in meter.used.items()}
    return {
        "orders": orders,
        "jobs": grown["jobs"] / orders,
        **{f"{part} ms": sum(cpu[name] for name in cpu if name.startswith(start)) for part, start in PARTS.items()},
        "wal_kb": grown["wal_bytes"] / orders / 1000,
        "wal_images": grown["wal_images"] / orders,
        "table_bytes_a_job": grown["table_bytes"] / grown["jobs"],
        "index_bytes_a_job": grown["index_bytes"] / grown["jobs"],
        "run_ms": database.execute(RUN_MS).fetchall()[0][0],
    }


def now(database: psycopg.Connection) -> dict[str, float]:
    return dict(zip(NAMES, database.execute(NOW).fetchall()[0], strict=True))


def until_delivered(database: psycopg.Connection, buy: Callable[[], object], meter: Meter | None = None) -> None:
    """Customers order, then wait until no order and no job is open but the request for a review in a week."""
    buy()
    deadline = time.monotonic() + PATIENCE
    while any(count for (count,) in database.execute(OPEN).fetchall()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"orders or jobs are open after {PATIENCE:g} s")
        time.sleep(0.5)
        if meter:
            meter.look()


if __name__ == "__main__":
    main()
