"""The shop's Celery app with bodies that keep a process busy for long, each in its own way."""

import ctypes
import time

from backroom import task
from backroom.ledger.sql import rows
from shop.celery import app

__all__ = ["app", "computes", "in_a_statement", "in_c", "waits"]


@task(name="busy.waits", queue="bulk")
def waits(seconds: float) -> None:
    time.sleep(seconds)


@task(name="busy.computes", queue="bulk")
def computes(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@task(name="busy.in_c", queue="bulk")
def in_c(seconds: float) -> None:
    """One call that keeps Python's lock."""
    ctypes.PyDLL(None).sleep(int(seconds))


@task(name="busy.in_a_statement", queue="bulk")
def in_a_statement(seconds: float) -> None:
    """The shop's limit of a statement is 10 s."""
    for _ in range(int(seconds / 8)):
        rows("SELECT pg_sleep(8)")
