"""What the statements on this room's tables have in common: one round trip each, and the rows that it gives back."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection


class Message(NamedTuple):
    """What the broker is told about a job. `published_at` is the row's stamp, as Unix time."""

    id: str
    task: str
    queue: str
    args: dict[str, Any]
    context: dict[str, Any]
    published_at: float


class Claimed(NamedTuple):
    """A job as the worker that claimed it holds it."""

    id: str
    args: dict[str, Any]
    context: dict[str, Any]
    key: str | None
    claims: int
    attempts: int
    max_attempts: int


def rows(sql: str, *parameters: Any) -> list[tuple]:
    """The rows that one statement returns."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def messages(found: Iterable[tuple]) -> list[Message]:
    return [
        Message(str(id), task, queue, json.loads(args), json.loads(context), stamp)
        for id, task, queue, args, context, stamp in found
    ]


STAMP = "extract(epoch FROM published_at)::float"

# Whether a job's queue or task is paused (backroom/ops/audit_log.py). The tiny table is read once for a statement, not for a row.
PAUSED = "ARRAY['queue:' || queue, 'task:' || task] && ARRAY(SELECT what::text FROM backroom_pause)"
