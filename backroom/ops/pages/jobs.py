"""The page of jobs: its tabs, the search form, and a page of what was found."""

from typing import Any

from celery import current_app
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ledger.models import Job
from backroom.ops import known
from backroom.ops.pages import search
from backroom.ops.pages.access import looks
from backroom.ops.pages.found import UNLISTED, find
from backroom.ops.pages.tabs import TABS, kind


@looks
def page(request: HttpRequest) -> HttpResponse:
    asked = search.read(request.GET)
    found = find(asked)
    context = {
        "tab": "jobs",
        "search": asked,
        "found": found,
        "predecessors": predecessors(found.jobs),
        "tabs": TABS,
        "queues": sorted(queue.name for queue in current_app.amqp.queues.values()),
        "tasks": known.tasks(),
    }
    return render(request, "ops/jobs.html", context)


def predecessors(jobs: list[Job]) -> dict[Any, Job]:
    """By id, those for which some of the jobs wait."""
    ids = {job.after_id for job in jobs if kind(job) == "behind"}
    return Job.objects.defer(*UNLISTED).in_bulk(ids) if ids else {}
