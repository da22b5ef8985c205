"""Measures how soon a job runs again after its process died or froze: `python -m bench.rescue [seconds] [what …]`.

A dispatcher and two workers of two children each run. Each trial hurts the worker that runs a held job, and reads from
the database when each step was done:
  child    SIGKILL of the worker's children
  main     SIGKILL of its main process
  all      SIGKILL of all its processes
  both     SIGKILL of both workers, which are started again at once: no spare one is left
  frozen   SIGSTOP of all its processes: as if its machine were lost
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import cluster, results
from lab.faults.stack import descendants, send

WORKER = ["worker", "--queues=bulk", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=WARNING"]
KINDS = ("child", "main", "all", "both", "frozen")
LONG = ("both", "frozen")  # these take several times as long: once in three rounds
STEPS = ("session gone", "requeued", "published", "claimed")
AGAIN = """
SELECT attempt.ended_at, job.published_at, job.started_at
FROM backroom_job job JOIN backroom_attempt attempt ON attempt.job_id = job.id WHERE job.id = %s
ORDER BY attempt.ended_at LIMIT 1
"""


class Workers:
    """Two workers of one queue, and a dispatcher."""

    def __init__(self) -> None:
        self.hold = Path(os.environ["BENCH_HOLD"])
        self.log = (self.hold.parent / "log" / "rescue.log").open("ab")
        self.dispatcher = self._run("manage.py", "dispatcher")
        self.workers: dict[str, subprocess.Popen] = {}

    def _run(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, *command], stdout=self.log, stderr=self.log)

    def start(self) -> None:
        """Start those of the two that do not run."""
        for name in "one", "two":
            if name not in self.workers or self.workers[name].poll() is not None:
                command = "-m", "celery", "--quiet", "-A", "bench.ledgered:app", *WORKER, f"--hostname={name}@rescue"
                self.workers[name] = self._run(*command)

    def wait(self) -> None:
        """Wait until both can take a job, and the dispatcher rescues: it waits a while at its start."""
        until(self.ready)

    def ready(self) -> bool:
        """Also starts a worker that has died."""
        from backroom.runtime import dispatcher, heartbeat  # noqa: PLC0415 - need Django to be set up

        self.start()
        seen = {process.name.partition("@")[0] for process in heartbeat.alive("worker") if process.seen_s < 3}
        whole = all(len(descendants(process.pid)) == 3 for process in self.workers.values())
        rescues = datetime.now(UTC) - timedelta(seconds=dispatcher.GRACE + 1)
        return whole and seen == set(self.workers) and heartbeat.alive("dispatcher")[0].started_at < rescues

    def victims(self, kind: str, worker: str) -> list[int]:
        """The processes to hurt, of the worker that runs the job."""
        families = {name: descendants(process.pid) for name, process in self.workers.items()}
        if kind == "both":
            return [pid for family in families.values() for pid in family]
        family = families[worker.partition("@")[0]]
        return {"child": family[1:], "main": family[:1]}.get(kind, family)

    def end(self) -> None:
        for process in (self.dispatcher, *self.workers.values()):
            send(signal.SIGKILL, descendants(process.pid))
            process.wait()
        self.log.close()


def trial(workers: Workers, kind: str) -> dict[str, float]:
    """Seconds from the signal to each step. A frozen worker's session is not gone."""
    from backroom.ledger.models import Job  # noqa: PLC0415 - needs Django to be set up
    from backroom.ledger.sql import rows  # noqa: PLC0415
    from bench.ledgered import hold  # noqa: PLC0415

    workers.wait()
    workers.hold.touch()
    id = hold.enqueue()
    until(lambda: Job.objects.filter(id=id, state="running").exists())
    name = Job.objects.get(id=id).worker
    time.sleep(random.uniform(0.3, 2.5))  # any moment between two heartbeats  # noqa: S311
    pids = workers.victims(kind, name)
    struck = datetime.now(UTC)
    send(signal.SIGSTOP if kind == "frozen" else signal.SIGKILL, pids)
    if kind == "both":
        for process in workers.workers.values():
            process.wait()
        workers.start()
    if kind not in ("child", "frozen"):
        until(lambda: not rows("SELECT FROM pg_stat_activity WHERE application_name = %s", name[-63:]), pause=0.005)
    gone = datetime.now(UTC)
    workers.hold.unlink()
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists())
    send(signal.SIGKILL, pids if kind == "frozen" else ())
    (again,) = rows(AGAIN, id)
    found = {name: round((at - struck).total_seconds(), 3) for name, at in zip(STEPS, (gone, *again), strict=True)}
    if kind in ("child", "frozen"):
        del found["session gone"]
    return found


def until(condition: Callable[[], object], seconds: float = 60, pause: float = 0.05) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)


def main(seconds: float, kinds: tuple[str, ...]) -> None:
    trials: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with cluster.running(LOG_FORMAT="json") as env:
        os.environ["BENCH_HOLD"] = str(Path(env["BACKROOM_VAR"]) / "hold")
        workers = Workers()
        try:
            workers.wait()
            end, rounds = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                for kind in kinds:
                    if kind not in LONG or rounds % 3 == 0:
                        trials[kind].append(trial(workers, kind))
                        print(kind, json.dumps(trials[kind][-1]), flush=True)
                rounds += 1
        finally:
            workers.end()
    found = [row(kind, each) for kind, each in trials.items()]
    results.save("rescue", found, seconds=seconds)


def row(kind: str, trials: list[dict[str, float]]) -> dict[str, Any]:
    """The median of each step, and the longest time until the job was claimed again."""
    medians = {step: statistics.median(each[step] for each in trials) for step in STEPS if step in trials[0]}
    longest = max(each["claimed"] for each in trials)
    print(f"{kind:8}{len(trials):4} trials   claimed after {medians['claimed']:6.2f} s, longest {longest:6.2f} s")
    return {"what": kind, "trials": len(trials), **medians, "longest": longest}


if __name__ == "__main__":
    given = sys.argv[1:]
    main(float(given[0]) if given else 25 if results.quick() else 150, tuple(given[1:]) or KINDS)
