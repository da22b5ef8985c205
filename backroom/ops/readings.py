"""The values that the alert rules compare with their limits, out of one snapshot."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from backroom.ops import disks
from backroom.ops.stats import Snapshot, failing_s, waiting_for

WINDOW = 600  # seconds over which rates are measured
LEAST = 20  # jobs of a task that must have ended within them: one failure of three is no rate yet


class Reading(NamedTuple):
    """A rule's value for one subject (a queue, a task, a partner), and a detail for its text."""

    subject: str
    value: float
    detail: str = ""


Read = Callable[[Snapshot], Iterable[Reading]]


def silence_of(role: str) -> Read:
    return lambda now: [Reading("", now.silent_s(role))]


def silent_queues(now: Snapshot) -> Iterable[Reading]:
    for queue in now.queues:
        if queue.needs_worker:
            yield Reading(queue.name, now.silent_s("worker", queue.name), f"{queue.level.shown('depth')} ready")


def oldest(now: Snapshot) -> Iterable[Reading]:
    """A paused job is never late (levels.COULD_RUN)."""
    return (Reading(queue.name, queue.level.oldest_s, f"{queue.level.shown('depth')} ready") for queue in now.queues)


def failures(now: Snapshot) -> Iterable[Reading]:
    for task, ended in now.ended_by("task", WINDOW).items():
        if ended.finished >= LEAST:
            yield Reading(task, ended.failure_rate, f"{ended.dead} of {ended.finished}")


def deaths(now: Snapshot) -> Iterable[Reading]:
    died = now.ended_by("queue", WINDOW)
    for queue in now.queues:
        if queue.name in died:
            yield Reading(queue.name, died[queue.name].dead, f"{queue.level.shown('dead')} in all")


def failing_partners(now: Snapshot) -> Iterable[Reading]:
    """Also one with a closed breaker: that needs failures of several effects, and at night one order may be all."""
    for gate in now.broker.partners or ():
        if since := gate["failing_since"]:
            waits = [f"{count} {task} wait" for task, count in waiting_for(gate["partner"]).items()]
            says = [f"since {since:%H:%M:%S} UTC", f"breaker {gate['state']}", *waits]
            yield Reading(gate["partner"], failing_s(gate), ", ".join(says))


def broker_down(now: Snapshot) -> Iterable[Reading]:
    return [Reading("", float(bool(now.broker.problem)), now.broker.problem)]


def full_disks(now: Snapshot) -> Iterable[Reading]:
    """Of the machine that shows the page, and of the watcher's."""
    return (Reading(folder, float(bool(free)), free) for folder, free in disks.full().items())


def database_down(now: Snapshot) -> Iterable[Reading]:
    """A snapshot proves that the database answers. A watcher without one knows (backroom/ops/watcher.py)."""
    return [Reading("", float(now.read_only), "it is read-only")]
