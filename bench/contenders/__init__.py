"""Job queues that people choose between, each as its own documentation recommends, two bodies at a time.

A contender's module is imported only in its own processes: it makes the app, its tasks out of `work.BODIES`, and
    enqueue(body, calls)    in one step as far as the library can; a call is the list of a body's arguments
    in_transaction(...)     the same, called inside a database transaction; without it, `enqueue` is
"""

from dataclasses import dataclass
from typing import Literal

# Workers of a Celery app: events on by the settings, and no chatter among workers, as in the shop.
_CELERY = ("-m", "celery", "--quiet", "-A")
_LEAN = ("--queues=default", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Contender:
    name: str
    module: str
    workers: tuple[tuple[str, ...], ...]  # arguments of Python, for each process that runs bodies
    broker: Literal["valkey", "postgresql"] = "valkey"  # where waiting jobs are
    services: tuple[tuple[str, ...], ...] = ()  # other processes that it needs, as a dispatcher
    apps: tuple[str, ...] = ()  # of Django
    transactional: bool = False  # a job commits with the caller's rows
    env: tuple[tuple[str, str], ...] = ()


def celery(module: str, *options: str) -> tuple[str, ...]:
    """The command of a Celery worker; options come after the usual ones."""
    return (*_CELERY, f"bench.contenders.{module}", "worker", *_LEAN, *options)


def django(*command: str) -> tuple[str, ...]:
    return ("-m", "django", *command)


def backroom(name: str, *workers: tuple[str, ...]) -> Contender:
    apps = ("django.contrib.postgres", "django_celery_beat", "backroom")
    return Contender(name, "ours", workers, services=(django("dispatcher"),), apps=apps, transactional=True)


ALL = {
    each.name: each
    for each in (
        Contender("Celery, acks_late", "stock", (celery("stock", "--concurrency=2"),)),
        backroom("Backroom", celery("ours", "--concurrency=2")),
        Contender(
            "procrastinate",
            "procrastinated",
            (django("procrastinate", "worker", "--concurrency=1"),) * 2,
            broker="postgresql",
            apps=("procrastinate.contrib.django",),
            transactional=True,
        ),
    )
}
