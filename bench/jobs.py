"""Measures what a job costs with each of bench.contenders; prints a line for each: `python -m bench.jobs [name ...]`.

A round of a contender: jobs that do nothing are enqueued one by one, then the rest in one call; the workers start and
work them off; then jobs come at a fixed rate. Rounds of all contenders are interleaved.
  ready   seconds from the start of the workers to the end of their first job
  drain   jobs per second, from the tenth part of the jobs to the last, by the journal
  p50 ... milliseconds from the moment when the job is to be enqueued to its end
  CPU     microseconds a job, while draining: of the workers, their children, services, PostgreSQL and the broker
  memory  PSS of the workers with their children, and of the services, at the end
`ours_...` is ours divided by this contender's, the median of the rounds' ratios.
"""

import itertools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from bench import cluster, results
from bench.contenders import ALL, OURS, STOCK
from bench.contenders.site import Client, Site, tree
from bench.scaling import SERVERS, server
from bench.usage import memory_mb
from stack import Problem

ROUNDS, SHARE = (1, 4) if results.quick() else (5, 1)  # SHARE: by what a round's jobs are divided
RATES = (50, 200)  # jobs per second
SECONDS = 2  # of each rate
PATIENCE = 60  # seconds for what should take a few
QUICK = (STOCK, "procrastinate", OURS)
PERCENTILES = tuple(f"{percentile}_ms_at_{rate}" for rate in RATES for percentile in ("p50", "p99"))
COMPARED = ("enqueue_per_s", "enqueue_many_per_s", "drain_per_s", *PERCENTILES, "cpu_us", "memory_mb", "ready_s")

Figures = dict[str, float]


def main(names: Sequence[str]) -> None:
    rounds: dict[str, list[Figures]] = defaultdict(list)
    reasons: dict[str, str] = {}
    with cluster.running() as env:
        servers = {name: psutil.Process(server(name, env)) for name in SERVERS}
        sites = {name: Site(ALL[name], env) for name in names}
        for site in sites.values():
            with left_out(site, reasons):
                site.prepare()
        for number, name in itertools.product(range(ROUNDS), names):
            if name not in reasons:
                with left_out(sites[name], reasons):
                    rounds[name].append(figures := measure(sites[name], servers))
                    print(f"round {number + 1}: {name} drains {figures['drain_per_s']:.0f} jobs/s", flush=True)
    rows = [{"contender": name, "reason": reasons[name]} if name in reasons else row(name, rounds) for name in names]
    results.save("jobs", rows, rounds=ROUNDS, rates=RATES, seconds=SECONDS)


@contextmanager
def left_out(site: Site, reasons: dict[str, str]) -> Iterator[None]:
    """A contender that can't be measured is left out from then on, with the reason."""
    try:
        yield
    except (Problem, EOFError, TimeoutError) as error:
        reasons[site.contender.name] = f"{error}"
        print(f"{site.contender.name}: {error}", *site.log.read_text().splitlines()[-5:], sep="\n   ", flush=True)


def measure(site: Site, servers: dict[str, psutil.Process], rates: Sequence[int] = RATES) -> Figures:
    site.empty()
    jobs = site.contender.pace // SHARE
    calls = [[f"{number:06}"] for number in range(jobs)]
    singles = jobs // 5
    with site.client() as client:
        figures = {
            "enqueue_per_s": singles / client.enqueue("nothing", calls[:singles]),
            "enqueue_many_per_s": (jobs - singles) / client.enqueue("nothing", calls[singles:], "many"),
        }
        begin = time.time()
        with site.processes() as workers:
            figures |= drain(site, jobs, servers)
            figures["ready_s"] = site.lines("done")[0].at - begin
            for rate in rates:
                figures |= latency(site, client, rate)
            for name, processes in (("memory_mb", workers), ("services_mb", site.services)):
                figures[name] = memory_mb([each.pid for process in processes for each in tree(process)])
    return figures


def drain(site: Site, jobs: int, servers: dict[str, psutil.Process]) -> Figures:
    first = until(site, jobs // 10)
    before = cpu_seconds(site, servers)
    last = until(site, jobs)
    time.sleep(0.3)  # for what follows the bodies
    used = {name: seconds - before[name] for name, seconds in cpu_seconds(site, servers).items()}
    times = sorted(line.at for line in site.lines("done"))
    each = {f"cpu_us_{name}": seconds / (last - first) * 1e6 for name, seconds in used.items()}
    return {"drain_per_s": (last - first) / (times[last - 1] - times[first - 1]), "cpu_us": sum(each.values()), **each}


def until(site: Site, jobs: int) -> int:
    """Wait until this number of bodies have run; returns how many have. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while (done := site.journal.read_bytes().count(b"done ")) < jobs:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{jobs - done} jobs of {jobs} did not run in {PATIENCE} s")
        time.sleep(0.02)
    return done


def cpu_seconds(site: Site, servers: dict[str, psutil.Process]) -> dict[str, float]:
    """CPU time so far of each part, of children that have ended, too."""
    trees = [tree(process) for process in site.workers]
    parts = {
        "children": [each for _, *children in trees for each in children],
        "services": [each for process in site.services for each in tree(process)],
        **{name: [process, *process.children(recursive=True)] for name, process in servers.items()},
    }
    seconds = {name: sum(map(of_process, processes)) for name, processes in parts.items()}
    times = [main.cpu_times() for main, *_ in trees]
    seconds["children"] += sum(time.children_user + time.children_system for time in times)
    return {"main": sum(time.user + time.system for time in times), **seconds}


def of_process(process: psutil.Process) -> float:
    """CPU time of a process and of its children that have ended. One that has just ended is in its parent's."""
    try:
        return sum(process.cpu_times()[:4])
    except psutil.NoSuchProcess:  # RQ forks for each job
        return 0


def latency(site: Site, client: Client, rate: int) -> Figures:
    """Percentiles at this rate. Raises TimeoutError."""
    done = len(site.lines("done"))
    ids = [f"{rate}-{number:05}" for number in range(rate * SECONDS)]
    client.enqueue("nothing", [[id] for id in ids], rate=rate)
    until(site, done + len(ids))
    called, ended = ({line.id: line.at for line in site.lines(word)} for word in ("call", "done"))
    due = [called[ids[0]] + number / rate for number in range(len(ids))]  # a slow enqueue makes those behind it late
    waits = statistics.quantiles([(ended[id] - moment) * 1000 for id, moment in zip(ids, due, strict=True)], n=100)
    return {f"p50_ms_at_{rate}": waits[49], f"p99_ms_at_{rate}": waits[98]}


def row(name: str, rounds: dict[str, list[Figures]]) -> results.Row:
    medians = {key: statistics.median(each[key] for each in rounds[name]) for key in rounds[name][0]}
    pairs = list(zip(rounds[OURS], rounds[name], strict=False))
    ratios = {
        f"ours_{key}": statistics.median(ours[key] / each[key] for ours, each in pairs) for key in COMPARED if pairs
    }
    print(f"{name:30}", *(f"{key} {medians[key]:.1f}" for key in COMPARED), sep="  ", flush=True)
    return {"contender": name, **medians, **ratios}


if __name__ == "__main__":
    main(sys.argv[1:] or (QUICK if results.quick() else list(ALL)))
