"""Measures 20,000 jobs at once in the whole shop; prints seconds, memory, latencies: `python -m bench.burst [jobs]`.

Two customers order all the time, and a `critical` job comes four times a second, before the burst and during it.
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import urllib3

from bench import results, shop
from bench.usage import memory_mb
from lab.faults.customers import Customers, cheap
from lab.faults.stack import descendants

BEFORE = 5 if results.quick() else 15  # seconds of the usual load before the burst
PROBE_EVERY = 0.25
SAMPLE_EVERY = 1.0
STATE = """
SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float
FROM backroom_job WHERE state IN ('ready', 'waiting') AND queue = 'bulk'
"""
LATENCY = """
SELECT extract(epoch FROM finished_at - created_at)::float * 1000, extract(epoch FROM created_at)::float
FROM backroom_job WHERE task = 'bench.probe' AND state = 'succeeded'
"""


def main(jobs: int) -> None:
    with shop.running("bench.tasks") as (stack, pids):
        summary, timeline = burst(jobs, stack.site, stack.env["DATABASE_URL"], pids)
    for name, value in summary.items():
        print(f"{name:24} {value:10.1f}")
    results.save("burst", [summary], jobs=jobs)
    results.save("burst_timeline", timeline, jobs=jobs)


def burst(jobs: int, site: str, database: str, pids: dict[str, int]) -> tuple[results.Row, list[results.Row]]:
    from bench import tasks  # noqa: PLC0415 - need Django to be set up
    from catalog.models import Product  # noqa: PLC0415

    Product.objects.update(stock=1_000_000)
    products = cheap(urllib3.request("GET", f"{site}/api/products").json()["items"])
    timeline: list[results.Row] = []
    with (
        psycopg.connect(database, autocommit=True) as connection,
        Customers(site, products, "burst@example.org", (True, True), pause=0.5) as customers,
        every(PROBE_EVERY, probe),
    ):
        customers_before, begin = after_warm_up(customers)
        with every(SAMPLE_EVERY, lambda: timeline.append(sample(connection, pids, begin))):
            tasks.enqueue(jobs)
            accepted = time.time()
            while not (timeline and timeline[-1]["at"] > accepted - begin and not timeline[-1]["waiting"]):
                time.sleep(0.05)
        drained = time.time()
        answers = [each["seconds"] * 1000 for each in customers.answers]
        probes = connection.execute(LATENCY).fetchall()
    return {
        "jobs": jobs,
        "accepted_s": accepted - begin,
        "drained_s": drained - begin,
        "jobs_per_s": jobs / (drained - begin),
        "oldest_s": max(each["oldest_s"] for each in timeline),
        "grown_mb": max(each["memory_mb"] for each in timeline) - timeline[0]["memory_mb"],
        **latency("checkout_before", answers[:customers_before]),
        **latency("checkout", answers[customers_before:]),
        **latency("critical_before", [took for took, at in probes if begin - BEFORE < at < begin]),
        **latency("critical", [took for took, at in probes if begin < at < drained]),
    }, timeline


def after_warm_up(customers: Customers) -> tuple[int, float]:
    """Drops the answers of processes that have just started. Returns the later ones' number, and the time."""
    time.sleep(BEFORE / 2)
    customers.answers.clear()
    time.sleep(BEFORE)
    return len(customers.answers), time.time()


def latency(name: str, milliseconds: list[float]) -> results.Row:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p99_ms": cuts[98]}


def probe() -> None:
    from bench import tasks  # noqa: PLC0415 - needs Django to be set up

    tasks.probe.enqueue()


def sample(connection: psycopg.Connection, pids: dict[str, int], begin: float) -> results.Row:
    """The queue and the memory now."""
    waiting, oldest = connection.execute(STATE).fetchone() or (0, 0.0)
    memories = {f"{name}_mb": memory_mb(descendants(pid)) for name, pid in pids.items()}
    at = time.time() - begin
    return {"at": at, "waiting": waiting, "oldest_s": oldest, "memory_mb": sum(memories.values()), **memories}


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call it again and again in a thread during the block."""
    stopping = threading.Event()

    def loop() -> None:
        while not stopping.wait(seconds):
            call()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000 if results.quick() else 20_000)
