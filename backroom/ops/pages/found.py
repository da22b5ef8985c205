"""Find jobs: by id, key or number; by tab, task and queue; by a text of the error or the worker; by time.

A search reads at most LOOK rows, in the order of an index. The page then says so, and links to the next ones.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backroom.ledger.models import Job
from backroom.ledger.sql import PARKED, returned_ids, rows
from backroom.ops.audit_log import VERBS
from backroom.ops.levels import READY_QUEUES
from backroom.ops.pages.keys import named
from backroom.ops.pages.search import Search, moment_of, position_of, written

PAGE = 50  # jobs on a page
LOOK = 20_000  # rows that one page reads
NAMED = 2 * PAGE  # jobs found by a name

# A list does not show these, and they may be large.
UNLISTED = ("args", "result", "context", "cursor")
LISTED = ", ".join(field.name for field in Job._meta.concrete_fields if field.name not in UNLISTED)

Sql = tuple[str, list[Any]]


@dataclass(frozen=True)
class Found:
    """A page of jobs; `next` is the next page's query string, "" for the last page."""

    jobs: list[Job]
    next: str = ""
    looked: int = 0  # rows read, if there are more
    cut: bool = False  # there are more, and no next page


def find(search: Search) -> Found:
    """A page of the jobs found."""
    size = NAMED if search.q else PAGE
    statement, values = _statement(search, LISTED, size + 1)
    jobs = list(Job.objects.raw(statement, values))
    if search.q:
        return Found(jobs[:size], cut=len(jobs) > size or last_read(search) is not None)
    if len(jobs) > size:
        last = jobs[size - 1]
        return Found(jobs[:size], search.address(after=written(getattr(last, search.tab.column), last.id)))
    last_one = last_read(search)
    if last_one is None:
        return Found(jobs)
    return Found(jobs, search.address(after=written(*last_one)) if search.tab.sorted else "", LOOK)


def members(search: Search, verb: str, limit: int) -> list[str]:
    """The ids of the first jobs found that this verb of the audit log fits, among the LOOK rows that a search reads."""
    fit: list[Sql] = [("state = ANY(%s)", [list(VERBS[verb])])]
    if verb == "try":
        fit.append((f"run_at < {PARKED}", []))  # as audit_log.fits
    statement, values = _statement(search, "id", limit, fit)
    return returned_ids(statement, *values)


def last_read(search: Search) -> tuple[Any, uuid.UUID] | None:
    """The position of the last row that the search reads; None if there are no more rows."""
    statement, values = _looked(search)
    found = rows(f"SELECT {search.tab.column}, id FROM ({statement}) looked OFFSET %s", *values, LOOK - 1)  # noqa: S608
    return found[0] if found else None


def _statement(search: Search, columns: str, limit: int, more: Sequence[Sql] = ()) -> Sql:
    tab = search.tab
    looked, values = _looked(search)
    where, filters = _all([(tab.reads, []), (tab.only, []), *_bounds(search), *_filters(search), *more])
    order = f"{tab.column} {tab.direction}, id {tab.direction}"
    statement = f"SELECT {columns} FROM ({looked}) looked WHERE {where} ORDER BY {order} LIMIT %s"  # noqa: S608
    return statement, [*values, *filters, limit]


def _looked(search: Search) -> Sql:
    """The rows that a search reads: at most LOOK, by one index."""
    tab = search.tab
    if search.q.endswith("*"):
        begin = _escaped(search.q[:-1]) + "%"
        return "SELECT * FROM backroom_job WHERE key LIKE %s ORDER BY key LIMIT %s", [begin, LOOK]
    if search.q:
        ids, keys = named(search.q)
        return "SELECT * FROM backroom_job WHERE id = ANY(%s::uuid[]) OR key = ANY(%s) LIMIT %s", [ids, keys, LOOK]
    if not tab.sorted:
        by = tab.index and f"ORDER BY {tab.index}"
        return f"SELECT * FROM backroom_job WHERE {tab.reads} {by} LIMIT %s", [LOOK]  # noqa: S608
    where, values = _all([(tab.reads, []), *_bounds(search)])
    order = f"{tab.column} {tab.direction}, id {tab.direction}"
    if tab.name != "ready":
        return f"SELECT * FROM backroom_job WHERE {where} ORDER BY {order} LIMIT %s", [*values, LOOK]  # noqa: S608
    # Its index begins with the queue.
    looked = f"SELECT * FROM backroom_job WHERE {where} AND queue = queues.queue ORDER BY {order} LIMIT %s"  # noqa: S608
    merged = f"{READY_QUEUES} SELECT job.* FROM queues, LATERAL ({looked}) job ORDER BY {order} LIMIT %s"  # noqa: S608
    return merged, [*values, LOOK, LOOK]


def _bounds(search: Search) -> list[Sql]:
    """The time and the position, as the index has them."""
    column = search.tab.column
    found: list[Sql] = []
    for text, sign in ((search.begin, ">="), (search.end, "<")):
        if moment := moment_of(text):
            found.append((f"{column} {sign} %s", [_first_id(moment) if column == "id" else moment]))
    if (position := position_of(search.after)) and not search.q:
        sign = "<" if search.tab.newest_first else ">"
        time, id = position
        if column == "id":
            found.append((f"id {sign} %s", [id]))
        elif time:
            found.append((f"({column}, id) {sign} (%s, %s)", [time, id]))
    return found


def _filters(search: Search) -> list[Sql]:
    found: list[Sql] = [
        (f"{name} = %s", [getattr(search, name)]) for name in ("task", "queue") if getattr(search, name)
    ]
    within = [(name, getattr(search, name)) for name in ("error", "worker")]
    return found + [(f"{name} ILIKE %s", [f"%{_escaped(text)}%"]) for name, text in within if text]


def _all(conditions: list[Sql]) -> Sql:
    return " AND ".join(sql for sql, _ in conditions), [value for _, values in conditions for value in values]


def _escaped(text: str) -> str:
    """For LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _first_id(moment: datetime) -> uuid.UUID:
    """The smallest id of version 7 of this time."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
