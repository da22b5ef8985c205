"""Dead letters grouped by task and by the error's first line, with ids and numbers replaced by #."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backroom.ledger.models import Job
from backroom.ledger.sql import returned_ids, rows
from backroom.ops.pages.access import looks

LOOK = 10_000  # dead letters that are grouped: the newest
GROUPS_SHOWN, JOBS_SHOWN = 100, 50

NUMBER = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+"
CAUSE = f"regexp_replace(split_part(left(error, 300), E'\\n', 1), '{NUMBER}', '#', 'g')"

GROUPS = f"""
SELECT task, {CAUSE} AS cause, count(*), min(finished_at), max(finished_at)
FROM (SELECT * FROM backroom_job WHERE state = 'dead' ORDER BY finished_at DESC LIMIT {LOOK}) newest
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""  # noqa: S608 - CAUSE stands above

MEMBERS = f"""
SELECT id FROM backroom_job WHERE state = 'dead' AND task = %s AND {CAUSE} = %s
ORDER BY finished_at, id LIMIT %s
"""  # noqa: S608


@dataclass(frozen=True)
class Group:
    """Dead letters of one cause."""

    task: str
    cause: str
    count: int
    first: datetime
    last: datetime

    @property
    def address(self) -> str:
        return urlencode({"task": self.task, "cause": self.cause})


def groups() -> list[Group]:
    """The causes of the newest LOOK dead letters, the most frequent first."""
    return [Group(*row) for row in rows(GROUPS)]


def members(task: str, cause: str, limit: int) -> list[str]:
    """The ids of a group's oldest jobs."""
    return returned_ids(MEMBERS, task, cause, limit)


@looks
def page(request: HttpRequest) -> HttpResponse:
    """The groups; or one of them, with its jobs."""
    found = groups()
    context = {
        "tab": "dead",
        "groups": found[:GROUPS_SHOWN],
        "total": sum(group.count for group in found),
        "look": LOOK,
    }
    wanted = request.GET.get("task"), request.GET.get("cause")
    for group in found:
        if (group.task, group.cause) == wanted:
            ids = members(group.task, group.cause, JOBS_SHOWN)
            jobs = Job.objects.filter(id__in=ids).order_by("finished_at", "id")
            return render(request, "ops/dead_group.html", context | {"group": group, "jobs": jobs})
    return render(request, "ops/dead.html", context)
