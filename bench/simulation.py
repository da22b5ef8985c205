"""Simulates a queue through a burst: what waits, how old the oldest is, and how many workers run. It prints nothing.

A job takes a worker's time and nothing else: each worker has a core of its own. bench.capacity has what the database
and the broker need besides.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.autoscaler import SCRAPE, SYNC, Autoscaler

LOOK = 1.0  # seconds
START = 12.0  # seconds until a new worker takes jobs: 10 for a node that has the image, 2 as measured


@dataclass
class Burst:
    """`arrivals` are seconds, ascending. Each job takes a random one of `seconds`, which were measured."""

    arrivals: Sequence[float]
    seconds: Sequence[float]
    workers: int  # at the start
    autoscaler: Autoscaler | None = None
    timeline: list[dict[str, float]] = field(default_factory=list)
    done: int = 0
    worker_seconds: float = 0.0

    def run(self) -> "Burst":
        self.dice = random.Random(16)  # noqa: S311 - the same in each run
        self.env = simpy.Environment()
        self.queue = simpy.Store(self.env)
        self.running: list[Any] = []
        self.starting = 0
        for _ in range(self.workers):
            self._add()
        self.env.process(self._arrive())
        if self.autoscaler:
            self.env.process(self._scale(self.autoscaler))
        self.env.run(self.env.process(self._watch()))
        return self

    def most(self, name: str) -> float:
        return max(each[name] for each in self.timeline)

    def _arrive(self) -> Any:
        for at in self.arrivals:
            yield self.env.timeout(at - self.env.now)
            self.queue.put(at)

    def _add(self) -> None:
        self.running.append(self.env.process(self._work()))

    def _work(self) -> Any:
        """Take one job after the other. A worker that is stopped finishes its job first."""
        me = self.env.active_process
        while me in self.running:
            job = self.queue.get()
            try:
                yield job
            except simpy.Interrupt:
                job.cancel()
                return
            yield self.env.timeout(self.dice.choice(self.seconds))
            self.done += 1

    def _scale(self, autoscaler: Autoscaler) -> Any:
        """The metric is one scrape old. The first look comes at a random moment."""
        while True:
            age = self._oldest()
            yield self.env.timeout(self.dice.uniform(0, SCRAPE) if self.env.now == 0 else SYNC)
            current = len(self.running) + self.starting
            change = autoscaler.workers(self.env.now, current, age) - current
            for _ in range(change):
                self.env.process(self._start())
            for _ in range(-change):
                self._stop()

    def _start(self) -> Any:
        self.starting += 1
        yield self.env.timeout(START)
        self.starting -= 1
        self._add()

    def _stop(self) -> None:
        """Take the newest worker away: now if it is idle, else after its job."""
        if not self.running:
            return
        worker = self.running.pop()
        idle = worker.target in self.queue.get_queue
        if idle:
            worker.interrupt()

    def _oldest(self) -> float:
        return self.env.now - self.queue.items[0] if self.queue.items else 0.0

    def _watch(self) -> Any:
        """Until the last job is done, and the autoscaler has taken its workers back."""
        while True:
            waiting, workers = len(self.queue.items), len(self.running)
            look = {"at": self.env.now, "waiting": waiting, "oldest_s": self._oldest(), "workers": workers}
            self.timeline.append({**look, "done": self.done})
            self.worker_seconds += workers * LOOK
            if self.done == len(self.arrivals) and not (self.autoscaler and workers > self.autoscaler.rule.least):
                return
            yield self.env.timeout(LOOK)


def poisson(jobs: int, seconds: float) -> list[float]:
    """When this number of jobs come, at random within these seconds."""
    dice = random.Random(16)  # noqa: S311 - the same in each run
    return sorted(dice.uniform(0, seconds) for _ in range(jobs))
