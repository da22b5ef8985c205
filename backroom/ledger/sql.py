"""What the ledger's statements share: one round trip each, and the rows that it returns."""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from random import random
from typing import Any, NamedTuple

import psycopg
from django.db import connection
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName

# PostgreSQL has earlier and later times, and infinity; Python can't read a row with one.
READABLE = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
STALE = InvalidSqlStatementName, FeatureNotSupported  # a plan is gone, or a migration changed its columns


class Message(NamedTuple):
    """What the publisher sends for a job. `published_at` is the row's stamp, as Unix time."""

    id: str
    task: str
    queue: str
    args: dict[str, Any]
    context: dict[str, Any]
    published_at: float


class Claimed(NamedTuple):
    """A job as the worker that claimed it holds it. `claims` is its fencing token."""

    id: str
    args: dict[str, Any]
    context: dict[str, Any]
    key: str | None
    claims: int
    attempts: int
    max_attempts: int
    lane: str | None = None  # that its end opens: of one with many places not each does, as it costs a commit
    gathers: str | None = None  # a batch's callback: the argument that gets the members' results
    cursor: str | None = None  # JSON


def rows(sql: str, *parameters: Any) -> list[tuple]:
    """The rows that one statement returns. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def prepared(sql: str, *parameters: Any) -> list[tuple]:
    """As `rows`, where the driver may prepare: planned once for a session, as that takes longer than the rest. Now and
    then anew: the plan for a nearly empty table reads all of a full one."""
    driver = connection.connection
    if driver and driver.prepare_threshold is not None and not connection.execute_wrappers:
        with connection.wrap_database_errors, psycopg.Cursor(driver) as cursor, suppress(*STALE):
            if (draw := random()) < 0.004:  # noqa: S311 - no secret
                cursor.execute(f"DEALLOCATE ALL -- {draw}")  # the driver forgets its plans only by a text new to it
            return cursor.execute(sql, parameters, prepare=True).fetchall()
        driver.prepare_threshold = None
    return rows(sql, *parameters)


def returned_ids(sql: str, *parameters: Any) -> list[str]:
    """The ids that one statement returns, as text."""
    return [str(id) for (id,) in rows(sql, *parameters)]


def messages(found: Iterable[tuple]) -> list[Message]:
    """Of rows with the columns id and MESSAGE. Those without a task are no messages."""
    return [
        Message(str(id), task, queue, json.loads(args), json.loads(context), stamp)
        for id, task, queue, args, context, stamp in found
        if task is not None
    ]


# `run_at` of a job that waits for a place in its lane. A release without lanes takes it for one that is scheduled.
PARKED = "timestamptz '9999-12-01 00:00+00'"
# Those jobs, by an order that only backroom_lane has: with stale statistics another index may seem as good.
PARKED_JOBS = "place <= 0 AND state IN ('ready', 'waiting', 'running')"
# Whether a job, ready or due, is not to begin any more. A retry has begun.
EXPIRED = "(claims = 0 AND expires_at <= statement_timestamp()) IS TRUE"
# A dispatcher never waits for a caller's transaction; nor does this lock pass a row whose key one has found.
LOCK = "FOR NO KEY UPDATE SKIP LOCKED"
STAMP = "extract(epoch FROM published_at)::float"
MESSAGE = f"task, queue, args, context, {STAMP}"

# What an UPDATE sets for a due job: it becomes ready, or is parked in its lane.
DUE = f"""state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'waiting' END,
    run_at = CASE WHEN lane IS NULL THEN COALESCE(run_at, clock_timestamp()) ELSE {PARKED} END,
    published_at = CASE WHEN lane IS NULL THEN clock_timestamp() END, place = CASE WHEN lane IS NOT NULL THEN 0 END"""
# The arguments of a job `child` once `parent` has succeeded.
WITH_RESULT = """CASE child.takes_result WHEN '' THEN child.args
    ELSE child.args || jsonb_build_object(child.takes_result, parent.result) END"""

# Whether a job's queue or task is paused. PostgreSQL reads the tiny table once for a statement, not once for a row.
PAUSED = "ARRAY['queue:' || queue, 'task:' || task] && ARRAY(SELECT what::text FROM backroom_pause)"


def recording(change: str, which: str = "true") -> str:
    """Wrap an UPDATE that ends attempts without success: it also inserts a backroom_attempt row for each, and returns
    the ids. A success needs no such row, as the job's row says it all: the common case costs nothing."""
    return f"""
        WITH ended AS ({change} RETURNING backroom_job.*), recorded AS (
            INSERT INTO backroom_attempt (job_id, task, queue, number, outcome, worker, published_at, started_at,
                                          ended_at, error)
            SELECT id, task, queue, attempts, state, worker, published_at,
                   CASE WHEN started_at >= published_at THEN started_at END, clock_timestamp(), error
            FROM ended WHERE {which})
        SELECT id FROM ended
        """  # noqa: S608 - the changes stand in this package
