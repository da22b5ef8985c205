"""Attempts at a job whose body the test gives."""

from contextlib import suppress

from celery.exceptions import Retry

from backroom import task
from backroom.ledger.models import Job
from backroom.runtime import execution

bodies: dict[str, object] = {}


@task(name="tests.body")
def body(which: str) -> object:
    return bodies[which]()


@task(name="tests.atomic_body", atomic=True)
def atomic_body(which: str) -> object:
    return bodies[which]()


def attempt(function, of=body) -> Job:
    """Run one attempt of a job with this body; returns the job afterwards."""
    bodies["now"] = function
    id = of.enqueue("now")
    with suppress(Retry, Exception):
        execution.perform(of, id)
    return Job.objects.get(id=id)


def raising(error: BaseException):
    def function() -> None:
        raise error

    return function
