"""Search jobs by id, key or order number, and by task, state and queue.

A search reads at most LOOK rows. Finished jobs have no index but their time, so a page filters that many and links to
the next ones.
"""

import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from string import Formatter
from typing import Any
from urllib.parse import urlencode

from celery import current_app
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ledger.models import Job, State
from backroom.ops.pages.access import looks

PAGE = 50  # jobs on a page
LOOK = 20_000  # rows that one page reads
NAMED = 2 * PAGE  # jobs found by a name
NEWEST = uuid.UUID(int=2**128 - 1)

# The order of each partial index: the next job first, of dead letters the newest.
INDEXED = {State.READY: "published_at", State.WAITING: "run_at", State.RUNNING: "worker", State.DEAD: "-finished_at"}

RECENT = "SELECT * FROM (SELECT * FROM backroom_job WHERE id < %s ORDER BY id DESC LIMIT %s) recent"
ALIKE = "SELECT * FROM (SELECT * FROM backroom_job WHERE key LIKE %s ORDER BY key LIMIT %s) alike"


@dataclass(frozen=True)
class Search:
    """The filters and the position: `page` counts in an indexed state, `before` is an id elsewhere."""

    q: str = ""
    task: str = ""
    state: str = ""
    queue: str = ""
    before: uuid.UUID = NEWEST
    page: int = 0

    @property
    def filters(self) -> dict[str, str]:
        chosen = {"task": self.task, "state": self.state, "queue": self.queue}
        return {name: value for name, value in chosen.items() if value}

    def address(self, **more: Any) -> str:
        """The query string of this search with `more`, such as its next page."""
        return urlencode({"q": self.q, **self.filters, **more})


@dataclass(frozen=True)
class Found:
    """A page of jobs; `next` is the next page's query string, "" for the last page."""

    jobs: list[Job]
    next: str = ""
    looked: int = 0  # rows read, if there are more
    cut: bool = False  # more keys have this beginning


def find(search: Search) -> Found:
    if search.q.endswith("*"):
        return _alike(search)
    if search.q:
        return Found(list(Job.objects.filter(named(search.q), **search.filters).order_by("-id")[:NAMED]))
    if search.state in INDEXED:
        return _by_index(search)
    return _recent(search)


def named(q: str) -> Q:
    """The jobs of an id, a key, or a number that fills a task's key."""
    with suppress(ValueError):
        return Q(id=uuid.UUID(q))
    return Q(key__in=[q, *(form.format(q) for form in key_forms())])


@cache
def load_tasks() -> None:
    """Import all tasks: a web process has imported only those that it enqueues. Once, as Celery searches all apps."""
    current_app.loader.import_default_modules()


@lru_cache
def key_forms() -> list[str]:
    """The keys that the tasks declare, with a place for their one argument: "receipt:{}"."""
    load_tasks()
    declared = {task.job_key for task in current_app.tasks.values() if getattr(task, "job_key", None)}
    forms = []
    for key in sorted(declared):
        fields = [name for _, name, _, _ in Formatter().parse(key) if name]
        if len(fields) == 1:
            forms.append(key.replace("{" + fields[0] + "}", "{}"))
    return forms


def _by_index(search: Search) -> Found:
    begin = search.page * PAGE
    order = INDEXED[State(search.state)]
    jobs = list(Job.objects.filter(**search.filters).order_by(order, "id")[begin : begin + PAGE + 1])
    more = search.address(page=search.page + 1) if len(jobs) > PAGE else ""
    return Found(jobs[:PAGE], more)


def _alike(search: Search) -> Found:
    """By key, of the first LOOK keys with this beginning."""
    begin = re.sub(r"([\\%_])", r"\\\1", search.q[:-1]) + "%"
    where = "".join(f" AND {name} = %s" for name in search.filters)
    sql = f"{ALIKE} WHERE true{where} ORDER BY key LIMIT %s"
    jobs = list(Job.objects.raw(sql, [begin, LOOK, *search.filters.values(), NAMED + 1]))
    full = bool(Job.objects.filter(key__startswith=search.q[:-1]).order_by("key")[LOOK - 1 : LOOK])
    return Found(jobs[:NAMED], cut=full or len(jobs) > NAMED)


def _recent(search: Search) -> Found:
    """The newest first, as ids sort by time."""
    where = "".join(f" AND {name} = %s" for name in search.filters)
    sql = f"{RECENT} WHERE true{where} ORDER BY id DESC LIMIT %s"
    jobs = list(Job.objects.raw(sql, [search.before, LOOK, *search.filters.values(), PAGE + 1]))
    if len(jobs) > PAGE:
        return Found(jobs[:PAGE], search.address(before=jobs[PAGE - 1].id))
    beyond: QuerySet = Job.objects.filter(id__lt=search.before).order_by("-id").values_list("id", flat=True)
    last = list(beyond[LOOK - 1 : LOOK])
    return Found(jobs, search.address(before=last[0]) if last else "", LOOK if last else 0)


def requested(request: HttpRequest) -> Search:
    """The search of the query string, without its invalid parts."""
    given = request.GET
    try:
        before = uuid.UUID(given.get("before", ""))
    except ValueError:
        before = NEWEST
    page = given.get("page", "")
    state = given.get("state", "")
    return Search(
        given.get("q", "").strip().replace("\x00", "")[:200],
        given.get("task", "").replace("\x00", "")[:200],
        state if state in State.values else "",
        given.get("queue", "").replace("\x00", "")[:100],
        before,
        int(page) if page.isdecimal() and len(page) < 6 else 0,
    )


@looks
def page(request: HttpRequest) -> HttpResponse:
    """The search form and a page of jobs."""
    search = requested(request)
    load_tasks()
    context = {
        "tab": "jobs",
        "search": search,
        "found": find(search),
        "states": State.values,
        "queues": sorted(queue.name for queue in current_app.amqp.queues.values()),
        "tasks": sorted(name for name in current_app.tasks if not name.startswith("celery.")),  # those are Celery's own
    }
    return render(request, "ops/jobs.html", context)
