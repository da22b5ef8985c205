"""What a number of orders a day needs, and which limit they reach first: the sums of docs/scale.md.

All of it is the product of what one order costs (bench.order), at the busiest hour.
"""

from collections.abc import Callable
from typing import NamedTuple

from bench.results import Row

ORDERS = (100_000, 1_000_000, 10_000_000, 100_000_000)  # a day
PEAK = 3.0  # the busiest hour's orders, in hours of the average
FULL = 0.6  # of a core or a device that may be in use at the peak
PARTNER_MS = 200.0  # that a job waits for a partner on average; on one machine they answer at once
DAYS = 30  # BACKROOM_RETENTION_DAYS
THREADS = 4  # of a web process, each with a connection
ANSWER_MS = 100.0  # for which an order holds one of them
PARTS = ("web", "workers", "PostgreSQL", "Valkey", "dispatcher", "Flower")

HEADS = {
    "orders": "orders a day", "orders_per_s": "orders/s", "jobs_per_s": "jobs/s", "web": "web, cores",
    "workers": "workers, cores", "PostgreSQL": "PostgreSQL, cores", "Valkey": "Valkey, cores", "wal": "WAL, MB/s",
    "connections": "connections", "gigabytes": "ledger, GB",
}  # fmt: skip


def needs(orders: int, order: Row) -> Row:
    """At the peak of a day with this number of orders. The ledger's size is after DAYS."""
    rate = orders / 86_400 * PEAK
    jobs = rate * order["jobs"]
    return {
        "orders": orders,
        "orders_per_s": rate,
        "jobs_per_s": jobs,
        **{part: rate * order[f"{part} ms"] / 1000 for part in PARTS},
        "wal": rate * order["wal_kb"] / 1000,
        "connections": (jobs * (order["run_ms"] + PARTNER_MS) + rate * ANSWER_MS) / 1000,
        "gigabytes": orders * DAYS * order["jobs"] * (order["table_bytes_a_job"] + order["index_bytes_a_job"]) / 1e9,
    }


class Limit(NamedTuple):
    what: str
    used: Callable[[Row], float]  # by these needs
    most: float
    next: str  # what to buy then


def cores(found: Row) -> float:
    return sum(found[part] for part in PARTS)


LIMITS = (
    Limit("two cores for all", cores, 2 * FULL, "workers and web on machines of their own"),
    Limit("200 connections", lambda found: found["connections"], 200, "PgBouncer in transaction mode"),
    Limit("8 cores of PostgreSQL", lambda found: found["PostgreSQL"], 8 * FULL, "a bigger primary"),
    Limit("1 TB of ledger", lambda found: found["gigabytes"], 1000, "fewer days of `BACKROOM_RETENTION_DAYS`"),
    Limit("the one thread of Valkey", lambda found: found["Valkey"], FULL, "RabbitMQ, which uses all cores, or cells"),
    Limit("64 cores of PostgreSQL", lambda found: found["PostgreSQL"], 64 * FULL, "a ledger for each domain, cells"),
    Limit("500 MB/s of WAL", lambda found: found["wal"], 500 * FULL, "cells"),
)


def reached(order: Row) -> list[Row]:
    """The orders a day at which each limit is reached, the lowest first."""
    one = needs(1, order)
    found = [{"what": each.what, "orders": round(each.most / each.used(one), -3), "next": each.next} for each in LIMITS]
    return sorted(found, key=lambda row: row["orders"])
