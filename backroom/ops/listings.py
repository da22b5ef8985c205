"""What `manage.py jobs` lists: values for JSON, and a line of each for a terminal."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet

from backroom.ledger.models import Job
from backroom.ops import batches, lanes, schedules
from backroom.ops.formats import bar, first_line
from backroom.ops.running import running
from backroom.runtime.batch import overview

SHOWN = 500
COUNTED = 100_000  # parked jobs of a lane


class Listing(NamedTuple):
    values: list[dict[str, Any]]
    lines: list[str]
    what: str  # they are


def dead_letters(which: QuerySet[Job]) -> Listing:
    """The oldest of these."""
    found = [
        {"id": str(job.id), "task": job.task, "key": job.key, "error": first_line(job.error)}
        for job in which.order_by("finished_at")[:SHOWN]
    ]
    lines = [f"{each['id']}  {each['key'] or each['task']}  {each['error']}" for each in found]
    return Listing(found, lines, "dead letters")


def running_jobs() -> Listing:
    found, lines = running(), []
    for each in found:
        drawn = bar(each.progress) if each.progress and each.progress.done is not None else ""
        lines.append(f"{each.job}  attempt {each.job.attempts}  {drawn}{'  ' if drawn else ''}{each.time}")
    return Listing([each.as_dict() for each in found], lines, "running")


def open_batches() -> Listing:
    found = overview(SHOWN)
    lines = [
        f"{each.id}  {each.key or each.task}  {each.succeeded} of {each.total}, {each.dead} dead, "
        f"{each.cancelled} cancelled  waits for {each.waits_for}"
        for each in found
    ]
    return Listing([batches.as_dict(each) for each in found], lines, "open batches")


def waiting_lanes() -> Listing:
    found, lines = lanes.waiting(SHOWN, COUNTED), []
    for each in found:
        count = each.parked if each.parked <= COUNTED else f"over {COUNTED}"
        held = f"{len(each.held_by)} of {each.places} places held"
        held += ", by a dead letter" * each.blocked + ", paused" * each.paused
        lines.append(f"{each.name}  {count} waiting  since {each.oldest:%Y-%m-%d %H:%M:%S} UTC  {held}")
    return Listing([each.as_dict() for each in found], lines, "lanes with waiting jobs")


def known_schedules() -> Listing:
    found = schedules.lines() or []
    values = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in line.items()}
        for line in found
    ]
    lines = [f"{line['name']}  {line['task']}  {_slots(line)}" for line in found]
    return Listing(values, lines, "schedules")


def _slots(line: dict[str, Any]) -> str:
    last, following = (
        time and f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" for time in (line["last"], line["next"])
    )
    following = following or line["error"] or ("ended" if line["enabled"] else "paused")
    return f"last {last or '-'}  next {following}  missed: {line['missed'] or '-'}"


LISTINGS = {"running": running_jobs, "batches": open_batches, "lanes": waiting_lanes, "schedules": known_schedules}
