"""Measures the shop's checkout through gunicorn, beside other ways to do an order's work; then with faults.

`python -m bench.web` prints milliseconds, requests a second, and CPU time a request. No worker runs: the others' jobs
stay in the broker, and the inline way does their work in the request.
"""

import contextlib
import os
import signal
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import urllib3

from bench import load, results, sites
from bench.sites import DELAY, INLINE, NO_JOBS, SHOP, WAYS
from bench.usage import Meter
from lab.faults.stack import BEHIND_AN_ORDER, RunningStack

CONCURRENCY = (1, 8) if results.quick() else (1, 8, 32)
ROUNDS, SECONDS = (1, 0.8) if results.quick() else (5, 1.5)
FAULTY_CONCURRENCY = 8
FAULTY_SECONDS = 1.0 if results.quick() else 2.0
PATIENCE = 5.0 if results.quick() else 15.0  # seconds after which a customer gives up
FAULTS: dict[str, dict[str, Any]] = {"slow": {"latency_ms": 500}, "failing": {"status": 500}, "hanging": {"hang": True}}


class Bench:
    """The running ways: measures one at a time, and keeps each measurement."""

    def __init__(self, stack: RunningStack, addresses: dict[str, str], customers: ProcessPoolExecutor) -> None:
        self.stack, self.addresses, self.customers = stack, addresses, customers
        items = urllib3.request("GET", f"{stack.site}/api/products?limit=100").json()["items"]
        self.baskets = load.baskets(items)
        self.found: dict[tuple[str, str, int], list[tuple[load.Answers, dict[str, float]]]] = {}

    def order(self, way: str, concurrency: int, seconds: float) -> load.Answers:
        """Customers in a process of their own, which takes no time of this one."""
        site = self.addresses[way]
        return self.customers.submit(load.order, site, self.baskets, concurrency, seconds, PATIENCE).result()

    def measure(self, way: str, concurrency: int, seconds: float, what: str = "") -> None:
        """Orders of this way for some seconds; `what` is wrong meanwhile."""
        meter = Meter({name: self.stack.pid(name) for name in (WAYS[way], "postgres")})
        answers = self.order(way, concurrency, seconds)
        meter.look()
        self.found.setdefault((what, way, concurrency), []).append((answers, meter.used))

    def rows(self) -> list[results.Row]:
        return [row(*key, rounds) for key, rounds in self.found.items()]

    def reset(self) -> None:
        """No faults, closed breakers, and no jobs of the last measurement in the broker."""
        self.stack.heal()
        with self.stack.client() as broker:
            broker.delete("critical", "default", "bulk", "celery", *broker.scan_iter("backroom:partner:*"))


def main() -> None:
    with sites.running() as (stack, addresses), ProcessPoolExecutor(1, get_context("spawn")) as customers:
        bench = Bench(stack, addresses, customers)
        for way in WAYS:  # the first requests of a process import what they need
            bench.order(way, FAULTY_CONCURRENCY, SECONDS)
        for _ in range(ROUNDS):
            for concurrency in CONCURRENCY:
                for way in WAYS:
                    bench.reset()
                    bench.measure(way, concurrency, SECONDS)
        with_faults(bench)
    rows = bench.rows()
    show(rows)
    results.save("web", rows, rounds=ROUNDS, seconds=SECONDS, patience_s=PATIENCE)


def with_faults(bench: Bench) -> None:
    """Each partner's faults, then the broker's; in the short form one of each."""
    for partner in ("fraud",) if results.quick() else BEHIND_AN_ORDER:
        for name, fault in tuple(FAULTS.items())[-1 if results.quick() else 0 :]:
            for way in SHOP, INLINE:
                bench.reset()
                bench.stack.fault(partner, **fault)
                bench.measure(way, FAULTY_CONCURRENCY, FAULTY_SECONDS, f"{partner} {name}")
    bench.reset()
    for name, fault_of_broker in {"broker frozen": frozen, "broker refused": refused}.items():
        if results.quick() and fault_of_broker is refused:
            break
        for way in SHOP, DELAY:
            with fault_of_broker(bench.stack):
                bench.measure(way, FAULTY_CONCURRENCY, FAULTY_SECONDS, name)


@contextlib.contextmanager
def refused(stack: RunningStack) -> Iterator[None]:
    stack.stop("valkey")
    yield
    stack.start("valkey")


@contextlib.contextmanager
def frozen(stack: RunningStack) -> Iterator[None]:
    pid = stack.pid("valkey")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def row(what: str, way: str, concurrency: int, rounds: list[tuple[load.Answers, dict[str, float]]]) -> results.Row:
    """Medians of the rounds; the 99th percentile of all their answers together. CPU time in ms for each request."""
    every = sorted(seconds for answers, _ in rounds for seconds in answers.seconds)

    def median(of: Callable[[load.Answers, dict[str, float]], float]) -> float:
        return statistics.median(of(answers, used) for answers, used in rounds)

    return {
        "what": what,
        "way": way,
        "concurrency": concurrency,
        "p50_ms": median(lambda answers, _: statistics.median(answers.seconds)) * 1000,
        "p99_ms": every[min(len(every) - 1, int(len(every) * 0.99))] * 1000,
        "per_s": median(lambda answers, _: (len(answers.seconds) - answers.failed) / answers.took),
        "web_ms": median(lambda answers, used: used[WAYS[way]] / len(answers.seconds)) * 1000,
        "postgres_ms": median(lambda answers, used: used["postgres"] / len(answers.seconds)) * 1000,
        "requests": len(every),
        "failed": sum(answers.failed for answers, _ in rounds),
    }


def show(rows: list[results.Row]) -> None:
    print(f"{'':18} {'way':18} {'at once':>7} {'p50 ms':>8} {'p99 ms':>8} {'per s':>7} {'web':>6} {'db ms':>6} failed")
    for each in rows:
        print(
            "{what:18} {way:18} {concurrency:7} {p50_ms:8.1f} {p99_ms:8.1f} {per_s:7.1f} {web_ms:6.2f} "
            "{postgres_ms:6.2f} {failed}/{requests}".format(**each)
        )
    by = {(each["way"], each["concurrency"]): each for each in rows if not each["what"]}
    for other in NO_JOBS, DELAY:
        for concurrency in CONCURRENCY:
            ratios = [by[SHOP, concurrency][name] / by[other, concurrency][name] for name in ("p50_ms", "web_ms")]
            print(f"shop ÷ {other}, {concurrency} at once: p50 {ratios[0]:.2f}, CPU of the web process {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
