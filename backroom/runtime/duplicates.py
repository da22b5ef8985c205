"""A task's name that one job holds at a time, as it is declared, and what becomes of a duplicate.

"while waiting": a job holds it until a worker first claims it. "while live": until it has succeeded, is dead or
cancelled. A timedelta: for so long after its enqueueing, unless it is dead or cancelled. A replaced job keeps its
queue and its number of attempts.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from backroom.ledger import enqueueing
from backroom.runtime import names, storable

WAITING, ALIVE, TIME = "while waiting", "while live", "for a time"
DROP, REPLACE, REFUSE = "drop", "replace", "refuse"


class Duplicate(Exception):
    """Another job has the name. The newcomer is declared to be refused, or would replace a job of another task or lane.
    `job_id` is the other job's."""

    def __init__(self, name: str, job_id: str) -> None:
        super().__init__(f"job {job_id} has the name {name!r}")
        self.name, self.job_id = name, job_id


class Unique(NamedTuple):
    """As `take` in names.py reads it from a row. A declared one's name is a format."""

    name: str
    rule: str
    seconds: float | None
    duplicate: str


def declared(unique: Any, duplicate: str | None, key: str | None) -> Unique | None:
    """The uniqueness of a task with these options. Raises TypeError or ValueError for what makes no sense."""
    if unique is None:
        if duplicate is not None:
            raise TypeError("duplicate belongs to unique")
        return None
    if key is not None:
        raise TypeError("a key is unique for ever: give key or unique")
    name, rule = unique if isinstance(unique, tuple) and len(unique) == 2 else ("", "")
    seconds = rule.total_seconds() if isinstance(rule, timedelta) else None
    fits = rule in (WAITING, ALIVE) if seconds is None else seconds > 0
    if not fits or not isinstance(name, str) or not name:
        raise TypeError(f'unique is ("reindex:{{id}}", "{WAITING}"), "{ALIVE}" or a timedelta, not {unique!r}')
    if seconds:
        storable.check_time("unique", rule)
    if duplicate not in (None, DROP, REPLACE, REFUSE):
        raise TypeError(f"duplicate is {DROP}, {REPLACE} or {REFUSE}, not {duplicate!r}")
    if duplicate == REPLACE and rule != WAITING:
        raise TypeError(f'a job that has begun can\'t be replaced: duplicate="{REPLACE}" needs "{WAITING}"')
    return Unique(name, rule if seconds is None else TIME, seconds, duplicate or DROP)


def settle(newcomers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Let these rows, which are about to be inserted, hold their names. Returns id → holder's id for the duplicates,
    which are not to be inserted. Raises Duplicate. Of several with one name the first holds it; with
    "replace", the last."""
    if not newcomers:
        return {}
    first = {row["name"]: row for row in reversed(newcomers)}
    last = {row["name"]: row for row in newcomers}
    chosen = {name: row if row["duplicate"] == REPLACE else first[name] for name, row in last.items()}
    held = names.take(chosen.values())
    if others := {name: id for name, (id, _) in held.items() if id != chosen[name]["id"]}:
        states = enqueueing.states(list(others.values()))
        free = [name for name, id in others.items() if not _holds(chosen[name]["rule"], states.get(id), held[name][1])]
        held |= names.take([chosen[name] for name in free], over=True) if free else {}
    holders = {row["id"]: held[row["name"]][0] for row in newcomers if held[row["name"]][0] != row["id"]}
    moved = [row | {"id": holders[row["id"]]} for row in chosen.values() if row["id"] in holders]
    replacing = [row for row in moved if row["duplicate"] == REPLACE]
    unmoved = {row["id"] for row in replacing} - set(enqueueing.replace(replacing) if replacing else [])
    if dropped := [row for row in moved if row["duplicate"] == DROP]:
        enqueueing.outlast(dropped)
    for row in newcomers:
        if (holder := holders.get(row["id"])) and (row["duplicate"] == REFUSE or holder in unmoved):
            raise Duplicate(row["name"], holder)
    return holders


def _holds(rule: str, state: str | None, lasts: bool) -> bool:
    """Whether a job in this state (None: it is purged) still holds its name."""
    if rule == TIME:
        return lasts and state not in ("dead", "cancelled")
    return state == "new" or (rule == ALIVE and state in ("ready", "waiting", "running"))
