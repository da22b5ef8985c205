"""How a job is found by what its key holds: the keys that tasks declare, and the number that fills them."""

import uuid
from contextlib import suppress
from functools import lru_cache
from string import Formatter

from celery import current_app

from backroom.ledger.models import Job
from backroom.ops import known

SIBLINGS_SHOWN = 50


def form_of(key: str | None) -> str:
    """A declared key with a place for its one argument: "receipt:{}"; "" if it has none, or several."""
    fields = [name for _, name, _, _ in Formatter().parse(key or "") if name]
    return (key or "").replace("{" + fields[0] + "}", "{}") if len(fields) == 1 else ""


@lru_cache
def key_forms() -> list[str]:
    """The forms of all keys that the tasks declare."""
    known.load_tasks()
    forms = {form_of(getattr(task, "job_key", None)) for task in current_app.tasks.values()}
    return sorted(forms - {""})


def named(q: str) -> tuple[list[str], list[str]]:
    """The ids and the keys that `q` may name: an id, or a key, or a number that fills a task's key."""
    with suppress(ValueError):
        return [str(uuid.UUID(q))], []
    return [], filled(q)


def filled(number: str) -> list[str]:
    """The keys that this number fills, and itself."""
    return [number, *(form.format(number) for form in key_forms())]


def number_of(job: Job) -> str:
    """What fills the key of the job's task: "1001" of receipt:1001; "" if the job has another key, or none."""
    known.load_tasks()
    form = form_of(getattr(current_app.tasks.get(job.task), "job_key", None))
    begin, _, end = form.partition("{}")
    key = job.key or ""
    number = key.removeprefix(begin).removesuffix(end)
    return number if form and number and form.format(number) == key else ""


def siblings(number: str) -> list[Job]:
    """The jobs whose key this number fills, in the order in which they were enqueued."""
    return list(
        Job.objects.only("key", "task", "state", "run_at", "claims", "place", "after_id")
        .filter(key__in=filled(number))
        .order_by("id")[:SIBLINGS_SHOWN]
    )
