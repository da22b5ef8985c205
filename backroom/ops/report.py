"""The snapshot as plain values, for `manage.py jobs --json`."""

from typing import Any

from backroom.ops.levels import Level
from backroom.ops.rates import WINDOW, Ended
from backroom.ops.stats import Snapshot


def report(now: Snapshot) -> dict[str, Any]:
    """Queues that hold jobs, throughput of each task over WINDOW, live workers, pauses, partners and running jobs.

    Ages in seconds, times in ms, rates per minute; shares between 0 and 1. `partners` is None if the broker is down.
    """
    return {
        "window_s": WINDOW,
        "queues": [queue(each.level) for each in now.queues if each.level != Level(each.name)],
        "tasks": [task(name, ended) for name, ended in now.ended_by("task", WINDOW).items()],
        "workers": [
            {"name": worker.name, "queues": ",".join(worker.queues), "seen_s": worker.seen_s}
            for worker in now.workers
            if worker.alive
        ],
        "paused": [{"what": pause.what, "who": pause.who, "why": pause.why} for pause in now.pauses.values()],
        "partners": now.broker.partners and [partner(gate) for gate in now.broker.partners],
        "running": [each.as_dict() for each in now.running],
    }


def partner(gate: dict[str, Any]) -> dict[str, Any]:
    since = gate["since"] and gate["since"].isoformat()
    return {name: value for name, value in gate.items() if name != "failing_since"} | {"since": since}


def queue(level: Level) -> dict[str, Any]:
    return {
        "queue": level.queue,
        "ready": level.ready,
        "waiting": level.due + level.later + level.parked,
        "running": level.running,
        "dead": level.dead,
        "oldest_s": level.oldest_s,
    }


def task(name: str, ended: Ended) -> dict[str, Any]:
    return {
        "task": name,
        "per_minute": ended.per_minute,
        "retry_rate": ended.retry_rate,
        "failure_rate": ended.failure_rate,
        "wait_ms_p50": ended.waits_ms[0],
        "run_ms_p50": ended.runs_ms[0],
    }
