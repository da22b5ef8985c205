"""Measures a job of ours on each broker, as bench.jobs does: `python -m bench.brokers [name ...]`.

Rounds of all brokers are interleaved. A broker that is not installed, or does not finish a round, is left out with the
reason. `ratio`: the jobs drained a second, of those on Valkey in the same round; the median. Sentinel's primary is a
Valkey, and moto's speed says nothing of SQS: neither is measured.
"""

import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import redis

from bench import cluster, jobs, results
from bench.contenders import ALL, OURS
from bench.contenders.site import Site
from bench.scaling import server
from stack import Problem, brokers

NAMES = ("valkey", "redis", "rabbitmq")
RATES = (50,)  # jobs a second
ROUNDS = 1 if results.quick() else 5


def main(names: Sequence[str]) -> None:
    rounds: dict[str, list[jobs.Figures]] = defaultdict(list)
    reasons: dict[str, str] = {}
    with cluster.running() as env, ExitStack() as stack:
        sites, servers = {}, {}
        for name in names:
            try:
                given = stack.enter_context(brokers.running(name, Path(env["BACKROOM_VAR"]) / name))
            except Problem as error:
                reasons[name] = str(error)
                continue
            sites[name] = site_on(name, env, given)
            main_process, *_ = given["BROKER_PIDS"].split(",")
            servers[name] = {"postgresql": server("postgresql", env), "broker": int(main_process)}
        for number in range(ROUNDS):
            for name, site in sites.items():
                if name not in reasons:
                    with jobs.left_out(site, reasons):
                        processes = {each: psutil.Process(pid) for each, pid in servers[name].items()}
                        rounds[name].append(figures := jobs.measure(site, processes, RATES))
                        print(f"round {number + 1}: {name} drains {figures['drain_per_s']:.0f} jobs/s", flush=True)
    results.save("brokers", [row(name, rounds) for name in rounds], rounds=ROUNDS, reasons=reasons)
    print(*reasons.items(), sep="\n")


def site_on(name: str, env: dict[str, str], given: dict[str, str]) -> Site:
    """Backroom with a database and a broker of its own."""
    site = Site(replace(ALL[OURS], name=name), env)
    site.env |= given
    if given["BROKER_URL"].startswith("redis"):
        site.broker = redis.Redis.from_url(given["BROKER_ADMIN_URL"])  # it is emptied before each round
    site.prepare()
    return site


def row(name: str, rounds: dict[str, list[jobs.Figures]]) -> results.Row:
    found = rounds[name]
    medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
    pairs = zip(found, rounds.get("valkey", ()), strict=False)
    ratios = [each["drain_per_s"] / valkey["drain_per_s"] for each, valkey in pairs]
    shown = ("enqueue_per_s", "enqueue_many_per_s", "drain_per_s", "p50_ms_at_50", "p99_ms_at_50", "cpu_us_broker")
    print(f"{name:10}", *(f"{key} {medians[key]:.1f}" for key in shown), sep="  ", flush=True)
    return {"broker": name, **medians, **({"ratio": statistics.median(ratios)} if ratios else {})}


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
