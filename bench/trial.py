"""One contender in one fault: its processes under supervision, and what the journal says of its jobs afterwards."""

import statistics
import time
from collections import Counter
from collections.abc import Collection
from subprocess import Popen

from bench import results
from bench.contenders.site import Client, Line, Site

LIMIT = 15 if results.quick() else 30  # seconds from the fault; a job that is not done by then counts as lost
AFTERWARDS = 3.0  # seconds after the last job, in which one may run again


class Trial:
    """One case of one contender: its site, a process that enqueues, and its workers."""

    def __init__(self, site: Site, client: Client, workers: list[Popen]) -> None:
        self.site, self.client, self.workers = site, client, workers

    def enqueue(self, body: str, number: int, *arguments: object, how: str = "many") -> list[str]:
        """Enqueue this number of jobs; returns their ids."""
        ids = [f"{body}-{how}-{each}" for each in range(number)]
        self.client.enqueue(body, [[id, *arguments] for id in ids], how)
        return ids

    def wait_until(self, jobs: Collection[str], done: int, running: int) -> None:
        """Wait until at least `done` are done and `running` run. Raises TimeoutError."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            outcome = Outcome(self.site.lines(), jobs, time.time())
            if len(jobs) - len(outcome.unfinished()) >= done and len(outcome.running()) >= running:
                return
            time.sleep(0.01)
        raise TimeoutError(f"{done} of {len(jobs)} jobs were never done while {running} ran")

    def supervise(self) -> None:
        """Start each worker process again that has died."""
        for place, worker in enumerate(self.workers):
            if worker.poll() is not None:
                [self.workers[place]] = self.site.start([self.site.contender.workers[place]])

    def watch(
        self, jobs: Collection[str], fault: float, until: Collection[str] = (), limit: float = LIMIT
    ) -> "Outcome":
        """Supervise until all jobs are done, for AFTERWARDS more, and at most for `limit` seconds."""
        end = fault + limit
        while time.time() < end:
            self.supervise()
            done = {line.id: line.at for line in self.site.lines("done")}
            if not {*jobs, *until} - done.keys():
                end = min(end, max(done.values()) + AFTERWARDS)
            time.sleep(0.05)
        return Outcome(self.site.lines(), jobs, fault)


class Outcome:
    """What the journal says of these jobs."""

    def __init__(self, lines: list[Line], jobs: Collection[str], fault: float) -> None:
        self.fault, self.jobs = fault, jobs
        self.lines = [line for line in lines if line.id in jobs and line.word in ("begin", "done")]

    def unfinished(self) -> set[str]:
        """The jobs that were not done when the fault came."""
        return set(self.jobs) - {line.id for line in self.lines if line.word == "done" and line.at <= self.fault}

    def running(self) -> set[str]:
        """Those that had begun and were not done."""
        return self.unfinished() & {line.id for line in self.lines if line.at <= self.fault}

    def row(self, hurt: Collection[str], **more: object) -> results.Row:
        """`hurt` are the jobs whose seconds count, from the fault until they run."""
        begun, done = (Counter(line.id for line in self.lines if line.word == word) for word in ("begin", "done"))
        first: dict[str, float] = {}
        for line in self.lines:
            if line.at > self.fault:
                first.setdefault(line.id, line.at - self.fault)
        seconds = [first[id] for id in hurt if id in first]
        complete = bool(seconds) and len(seconds) == len(hurt)
        return {
            "jobs": len(self.jobs),
            "hurt": len(hurt),
            "lost": len(set(self.jobs) - set(done)),
            "done_twice": sum(times > 1 for times in done.values()),
            "begun_twice": sum(times > 1 for times in begun.values()),
            "again_s": round(statistics.median(seconds), 2) if complete else None,
            "again_max_s": round(max(seconds), 2) if complete else None,
            **more,
        }
