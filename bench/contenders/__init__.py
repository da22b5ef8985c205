"""Job queues that people choose between, each as its own documentation recommends, two bodies at a time.

A contender's module is imported only in its own processes: it makes the app, its tasks out of `work.BODIES`, and
    enqueue(body, calls)    in one step as far as the library can; a call is the list of a body's arguments
    in_transaction(...)     the same, called inside a database transaction; without it, `enqueue` is
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_LEAN = ("--without-gossip", "--without-mingle")  # as the shop's workers


@dataclass(frozen=True)
class Contender:
    name: str
    module: str
    workers: tuple[tuple[str, ...], ...]  # arguments of Python, for each process that runs bodies
    broker: Literal["valkey", "postgresql"] = "valkey"  # where waiting jobs are
    services: tuple[tuple[str, ...], ...] = ()  # other processes that it needs, as a dispatcher
    apps: tuple[str, ...] = ()  # of Django
    celery: tuple[tuple[str, Any], ...] = ()  # settings of the app in stock.py
    pace: int = 2000  # jobs that it can work off within some seconds

    @property
    def env(self) -> dict[str, str]:
        """For its processes."""
        return {"BENCH_APPS": " ".join(self.apps), "BENCH_CELERY": json.dumps(dict(self.celery))}


def _celery(module: str, *options: str) -> tuple[str, ...]:
    """The command of a Celery worker; the settings turn its events on."""
    return ("-m", "celery", "--quiet", "-A", f"bench.contenders.{module}", "worker", "-Q", "default", *_LEAN, *options)


def _django(*command: str) -> tuple[str, ...]:
    return ("-m", "django", *command)


def _stock(name: str, apps: tuple[str, ...] = (), **settings: Any) -> Contender:
    settings = {"task_acks_late": True, "worker_prefetch_multiplier": 1, "task_ignore_result": True, **settings}
    return Contender(name, "stock", (_celery("stock", "-c2"),), apps=apps, celery=tuple(settings.items()))


def _ours(name: str, *workers: tuple[str, ...]) -> Contender:
    apps = ("django.contrib.postgres", "django_celery_beat", "backroom")
    return Contender(name, "ours", workers, services=(_django("dispatcher"),), apps=apps)


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


STOCK, LATE_EVENTS, OURS = "Celery, acks_late", "Celery, events every 0.25 s", "Backroom"
# Celery's documentation for work that must not get lost; lab/faults/naive/checklist.py has the reasons.
CHECKLIST: dict[str, Any] = {
    "task_reject_on_worker_lost": True,
    "task_soft_time_limit": 50,
    "task_time_limit": 60,
    "broker_transport_options": {"visibility_timeout": 30 * 60 + 60},
    "worker_cancel_long_running_tasks_on_connection_loss": True,
}
_CONTENDERS = (
    _stock(STOCK),
    _stock(LATE_EVENTS, worker_consumer="bench.contenders.late_events:Consumer"),
    _stock("Celery, safety checklist", **CHECKLIST),
    _stock(
        "Celery + django-celery-results",
        ("django_celery_results",),
        task_ignore_result=False,
        result_backend="django-db",
        CELERY_DB_REUSE_MAX=1_000_000_000,  # else Celery closes the connection after every task: a third of the speed
    ),
    Contender(
        "django-celery-outbox",
        "outbox",
        (_celery("outbox", "-c2"),),
        services=(_django("celery_outbox_relay", "--idle-time=0.05"),),  # seconds; by default a job waits for up to 1
        apps=("django_celery_outbox",),
    ),
    Contender(
        "relier",
        "reliered",
        (
            ("-m", "celery", "--quiet", "-A", "relier.tasks.app", "worker", "-c2", "--task-events", *_LEAN,
             "-Q", "high_priority,default,low_priority,re-queue", "--include=bench.contenders.reliered"),
        ),
        services=((_script("rl"), "run-resurrector"),),
        pace=800,
    ),
    Contender(
        "procrastinate",
        "procrastinated",
        (_django("procrastinate", "worker", "--concurrency=1"),) * 2,
        broker="postgresql",
        apps=("procrastinate.contrib.django",),
    ),
    Contender("django-q2, ORM", "queue2", (_django("qcluster"),), broker="postgresql", apps=("django_q",)),
    Contender("RQ", "rqueue", (_django("rqworker-pool", "default", "--num-workers=2"),), apps=("django_rq",), pace=200),
    Contender(
        "Dramatiq",
        "dramatiqed",
        (("-m", "dramatiq", "django_dramatiq.setup", "bench.contenders.dramatiqed", "-p2", "-t1"),),
        apps=("django_dramatiq",),
        pace=6000,
    ),
    Contender(
        "Huey",
        "hueyed",
        (("-m", "huey.bin.huey_consumer", "bench.contenders.hueyed.HUEY", "-kprocess", "-w2"),),
        pace=6000,
    ),
    _ours(OURS, _celery("ours", "-c2")),
    _ours(f"{OURS}, threads", _celery("ours", "-c2", "--pool=threads")),
    _ours(f"{OURS}, solo x 2", *(_celery("ours", "--pool=solo", "-n", f"{name}@%h") for name in ("one", "two"))),
)  # fmt: skip
ALL = {each.name: each for each in _CONTENDERS}
