"""Measures what each contender does when it is hurt: `python -m bench.hurt [contender ...]`

One script for all. A contender has servers of its own. Each case begins with empty ones, and with workers that have run
some jobs. A worker process that dies is started again at once, as a supervisor does.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Timer

import psutil
import psycopg

from bench import results
from bench.contenders import ALL, OURS, STOCK, Contender
from bench.contenders.site import Site, tree
from bench.trial import LIMIT, Trial
from stack import servers

LONGER = LIMIT if results.quick() else 75  # the same for a killed worker's jobs: some come back after a minute
SIDE_BY_SIDE = 7  # contenders at once: a case mostly waits
WARM_UP = 8.0  # seconds from the start: rescuers, ours too, wait a while after theirs
FROZEN = 5.0, 30.0  # seconds, at least and at most

# What becomes of the jobs that a dead worker ran, if not within LONGER: by the documentation, or the code, of each.
LATER = {
    "stock": "come back after the visibility timeout: an hour, or half an hour by the checklist",
    "outbox": "come back after the visibility timeout: an hour",
    "procrastinated": "stay until a task of one's own requeues them; its documentation has one for every ten minutes",
    "rqueue": "are looked for every ten minutes",
    "dramatiqed": "come back by chance, after a minute: one command in a thousand looks for them",
    "hueyed": "are gone: the broker keeps no copy",
}


def worker_killed(trial: Trial) -> results.Row:
    """SIGKILL to all processes of all workers, in the middle of 20 jobs of 0.3 s, and of two of them."""
    jobs = trial.enqueue("wait", 20, 0.3)
    trial.wait_until(jobs, done=10, running=2)
    time.sleep(0.1)
    processes = [each for worker in trial.workers for each in tree(worker)]
    fault = time.time()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    outcome = trial.watch(jobs, fault, limit=LONGER)
    row = outcome.row(outcome.running())
    return row | {"note": LATER.get(trial.site.contender.module, "") if row["lost"] else ""}


def broker_emptied(trial: Trial) -> results.Row:
    """FLUSHALL while 200 jobs wait behind others that run."""
    # Four: a process of Dramatiq takes two, though it runs one.
    trial.wait_until(trial.enqueue("wait", 4, 3.0), done=0, running=2)
    jobs = trial.enqueue("nothing", 200)
    time.sleep(1)  # for those with a relay: it publishes them
    fault = time.time()
    trial.site.broker.flushall()
    outcome = trial.watch(jobs, fault)
    return outcome.row(outcome.unfinished())


def killed_before_publish(trial: Trial) -> results.Row:
    """SIGKILL to the enqueueing process when its transaction has committed, before anything else that it does."""
    with suppress(EOFError):
        trial.enqueue("nothing", 5, how="die")
        raise AssertionError("the process lives")
    fault = trial.site.lines("call")[-1].at  # some run the jobs before the end of the process shows here
    jobs = [f"nothing-die-{each}" for each in range(5)]
    with psycopg.connect(trial.site.url) as connection:
        if not connection.execute("SELECT name FROM auth_group WHERE name = %s", jobs[:1]).fetchone():
            raise AssertionError("its transaction has not committed")
    return trial.watch(jobs, fault).row(jobs)


def job_kills_worker(trial: Trial) -> results.Row:
    """A job kills the process that runs it, at each run; ten others stand around it in the queue."""
    jobs = [f"wait-{each}" for each in range(10)]
    trial.client.enqueue("wait", [[id, 0.5] for id in jobs[:4]], "many")
    [killer] = trial.enqueue("kill", 1)
    trial.client.enqueue("wait", [[id, 0.5] for id in jobs[4:]], "many")
    outcome = trial.watch(jobs, time.time(), until=[killer])
    runs = [line.at for line in trial.site.lines("begin") if line.id == killer]
    again = round(runs[1] - runs[0], 2) if len(runs) > 1 else None
    return outcome.row((), runs=len(runs), last_run_s=round(runs[-1] - runs[0], 1), again_s=again)


def broker_frozen(trial: Trial) -> results.Row:
    """SIGSTOP to the broker while two requests enqueue, one after the other. It continues after their answers."""
    broker = psutil.Process(trial.site.broker.info("server")["process_id"])
    trial.client.enqueue("nothing", [["connects"]], "transaction")
    begin = time.time()
    broker.suspend()
    thaw = Timer(FROZEN[1], broker.resume)
    thaw.start()
    first, error = request(trial, "first")
    second, _ = request(trial, "second") if not error else (None, "")
    time.sleep(max(0, begin + FROZEN[0] - time.time()))
    thaw.cancel()
    broker.resume()
    jobs = ["first"] if error else ["first", "second"]
    return trial.watch(jobs, min(time.time(), begin + FROZEN[1])).row(
        jobs, waited_s=first, next_waited_s=second, note=error
    )


def request(trial: Trial, job: str) -> tuple[float, str]:
    """Enqueue in a transaction. The seconds that it took, and whether it raised an error."""
    begin, error = time.time(), ""
    try:
        trial.client.enqueue("nothing", [[job]], "transaction")
    except EOFError:
        error = "the request fails, although its transaction has committed"
    return round(time.time() - begin, 3), error


WHOLE = worker_killed, broker_emptied, killed_before_publish, job_kills_worker, broker_frozen
CASES = {case.__name__: case for case in ((worker_killed, killed_before_publish) if results.quick() else WHOLE)}
QUICK = STOCK, "procrastinate", OURS
LEFT_OUT = ("Celery, events every 0.25 s",)  # hurt as the one without this trick
NO_BROKER = {
    "broker_emptied": "its broker is the database, and so are the orders: there is nothing to empty alone",
    "broker_frozen": "its broker is the database: a request that needs its rows stands as well",
}


def prepare(contender: Contender, stack: ExitStack) -> Site:
    """Start the servers of a contender, and make its tables."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="backroom-hurt-"))
    env = stack.enter_context(servers.running(Path(folder)))
    site = Site(contender, {**env, "DEBUG": "false", "LOG_FORMAT": "json"})
    site.env["dramatiq_queue_prefetch"] = "2"  # its default: with more, one process takes all of 20 jobs
    site.prepare()
    return site


def examine(site: Site) -> list[results.Row]:
    """All cases, one after the other."""
    rows = []
    for case in CASES:
        try:
            found = measure(site, case)
        except Exception as error:
            found = {"note": f"could not be measured: {error!r}"}
        rows.append({"contender": site.contender.name, "case": case, **found})
    return rows


def measure(site: Site, case: str) -> results.Row:
    if site.contender.broker == "postgresql" and case in NO_BROKER:
        return {"note": NO_BROKER[case]}
    site.empty()
    begin = time.time()
    with site.processes() as workers, site.client() as client:
        trial = Trial(site, client, workers)
        warm = trial.enqueue("wait", 4, 0.3, how="one")
        if len(site.wait_for(len(warm))) < len(warm):
            return {"note": "its workers ran no job within a minute"}
        time.sleep(max(0, begin + WARM_UP - time.time()))
        return CASES[case](trial)


def show(rows: list[results.Row]) -> None:
    for case, function in CASES.items():
        print(f"\n{case}: {function.__doc__}")
        for row in (row for row in rows if row["case"] == case):
            shown = [f"{name} {value}" for name, value in row.items() if name not in ("contender", "case", "note")]
            print(f"{row['contender']:32}", *shown, row.get("note", ""), sep="  ")


def main(names: Sequence[str]) -> None:
    # The servers die with the thread that started them: it is one of the pool, which ends last.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, ExitStack() as stack:
        sites = list(pool.map(partial(prepare, stack=stack), [ALL[name] for name in names]))
        rows = [row for rows in pool.map(examine, sites) for row in rows]
    show(rows)
    results.save("hurt", rows, limit_s=LIMIT, limit_after_a_workers_death_s=LONGER)


if __name__ == "__main__":
    main(sys.argv[1:] or (QUICK if results.quick() else [name for name in ALL if name not in LEFT_OUT]))
