"""Faults of the broker, the database, the partners, and of single messages."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import redis
from botocore.exceptions import BotoCoreError
from kombu.exceptions import KombuError

from backroom.ledger import sql
from backroom.ledger.models import Job
from backroom.runtime import publisher
from lab.faults.stack import send
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault
from tests.waiting import until

PARTNER_OUTAGE = 6.0  # seconds
FREEZE = 8.0  # seconds


def broker(fault: Fault, comes_back: bool = True) -> Fault:
    """A fault of the broker while messages wait in it. `comes_back`: it ends when the broker answers again."""

    def whole(context: Context) -> None:
        context.pile_up()
        context.strike()
        fault(context)
        if comes_back:
            context.recover()
        context.cluster.heal()

    return whole


def killed(context: Context) -> None:
    send(SIGKILL, context.cluster.family(primary(context)))


def primary(context: Context) -> str:
    """The server that takes messages now."""
    return context.cluster.kind.primary().name


def frozen(context: Context) -> None:
    pids = context.cluster.family(primary(context))
    send(SIGSTOP, pids)
    time.sleep(FREEZE)
    send(SIGCONT, pids)


def restarted(context: Context) -> None:
    with stopped(context):
        pass


@contextmanager
def stopped(context: Context) -> Iterator[Path]:
    """Stop the primary during the block. Yields the folder with its data."""
    server = context.cluster.kind.primary()
    context.cluster.stop(server.name)
    yield server.data or Path()
    context.cluster.start(server.name)


def flushed(context: Context) -> None:
    context.cluster.empty_broker()


def data_lost(context: Context) -> None:
    with stopped(context) as data:
        shutil.rmtree(data)


def truncated(context: Context) -> None:
    with stopped(context) as data:
        file = max(data.glob("*.incr.aof"))
        with file.open("r+b") as log:
            log.truncate(file.stat().st_size // 2)


def failed_over(context: Context) -> None:
    """By order: the old primary lives and answers READONLY."""
    old = primary(context)
    context.cluster.kind.fail_over()
    until(lambda: primary(context) != old, TIMEOUT, "another primary")


def primary_lost(context: Context) -> None:
    """Frozen first: supervisord would start a killed one again before the sentinels miss it."""
    old = primary(context)
    pids = context.cluster.family(old)
    send(SIGSTOP, pids)
    until(lambda: primary(context) != old, TIMEOUT, "another primary")
    send(SIGKILL, pids)


def database_killed(context: Context) -> None:
    context.strike()
    send(SIGKILL, [context.cluster.pid("postgres")])
    time.sleep(1)
    context.cluster.start("postgres")
    context.recover()


def database_frozen(context: Context) -> None:
    context.strike()
    pids = context.cluster.family("postgres")
    send(SIGSTOP, pids)
    time.sleep(FREEZE)
    send(SIGCONT, pids)
    context.recover()


def database_restarted(context: Context) -> None:
    context.strike()
    context.cluster.stop("postgres")
    context.cluster.start("postgres")
    context.recover()


def partner(name: str, switches: dict) -> Fault:
    """Faults of a partner for some seconds."""

    def fault(context: Context) -> None:
        context.strike()
        context.cluster.fault(name, **switches)
        time.sleep(PARTNER_OUTAGE)
        context.cluster.heal()
        context.recover()

    return fault


def answer_lost(context: Context) -> None:
    """The broker gets an order's messages, and the web process a connection error."""
    hit = context.arm("publish", "web", "orders.make_invoice", "fail").wait(TIMEOUT)
    context.strike()
    hit.release()


def delivered_twice(context: Context) -> None:
    """Send each job's message twice more, in whatever state the job is."""
    context.strike()
    sent = 0
    for _ in range(20):
        jobs = Job.objects.order_by("-created_at").exclude(task="orders.settle_payment")[:30]
        # This process's connection may be older than the broker, and moto slower than a request may be.
        with suppress(KombuError, redis.RedisError, BotoCoreError):
            publisher.send([sql.Message(str(j.id), j.task, j.queue, j.args, j.context, time.time()) for j in jobs] * 2)
            sent += 1
        time.sleep(0.25)
    assert sent, "no message was sent"
