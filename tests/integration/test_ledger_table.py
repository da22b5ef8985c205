"""The ledger's table stays healthy: each question has its index, and what is purged makes room for what comes."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection

from backroom import task
from backroom.ledger import enqueueing, operations, rescue, sql, transitions
from backroom.ledger.lanes import open_lanes
from backroom.ops import stats
from backroom.ops.rates import WINDOW
from backroom.runtime import dispatcher
from backroom.runtime.ended import Ended
from backroom.runtime.heartbeat import let_prepare
from tests import truncate
from tests.integration.heartbeats import worker_beats


@task(name="tests.aged", key="aged:{number}")
def aged(number: int) -> None:
    """Only its rows matter here."""


PAGE = 8192  # bytes


def execute(sql: str, *parameters: Any) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


JOB = sql.Claimed("01a00000-0000-7000-8000-000000000000", {}, {}, "aged:1", 1, 1, 1)
OF_ONE_JOB = {"backroom_job_pkey", "backroom_job_key_key", "backroom_after", "backroom_members"}
QUESTIONS: dict[str, Callable[[], object]] = {
    "dispatcher: whether a job is due": lambda: sql.rows(dispatcher.DUE),
    "dispatcher: whether a job may be lost": lambda: sql.rows(dispatcher.LIVE),
    "dispatcher: due jobs": lambda: transitions.stage_due(500),
    "dispatcher: parked jobs of all lanes": open_lanes,
    "dispatcher: jobs whose message is lost": lambda: rescue.lost_messages("default", None),
    "dispatcher: jobs of a dead worker": rescue.requeue_abandoned,
    "dispatcher: workers that have ended": lambda: Ended().look(),
    "dispatcher: followers of a finished job": rescue.release_followers,
    "dispatcher: requeue ready jobs": lambda: transitions.requeue_ready([JOB.id]),
    "worker: heartbeat": lambda: worker_beats("worker", "default", []),
    "worker: claim": lambda: transitions.claim(JOB.id, "worker"),
    "worker: succeed": lambda: transitions._succeed(JOB, "null"),
    "worker: defer": lambda: transitions.defer(JOB, 1, "x"),
    "worker: the next of its lane": lambda: open_lanes(["limit:aged"]),
    "web: job of a key": lambda: enqueueing.ids_of(["aged:1"]),
    "web: cancel": lambda: operations.cancel(keys=["aged:1"], why=""),
    "beat: purge": lambda: operations.purge(30),
    "people: depth of the queues": lambda: stats.snapshot(WINDOW),
}


def fill(jobs: int, state: str) -> None:
    """Inserts `jobs` rows. `state` is an SQL expression over a row's number `n`."""
    truncate.rewrite("backroom_job")
    execute("SET LOCAL statement_timeout = 0")
    execute(
        f"""
        INSERT INTO backroom_job (id, task, queue, key, state, args, claims, attempts, max_attempts, run_at,
                              published_at, started_at, finished_at, worker, error, takes_result, after_id)
        SELECT uuidv7(n * interval '1 ms'), 'tests.aged', 'default', 'aged:' || n, state, '{{}}', 1, 1, 8,
               now() + interval '1 day', now(), now(), CASE state WHEN 'succeeded' THEN now() END, 'worker', '', '',
               CASE WHEN mod(n, 10) = 0 THEN uuidv7() END
        FROM (SELECT n, {state} AS state FROM generate_series(1, {jobs}) n) jobs
        """  # noqa: S608
    )
    execute("ANALYZE backroom_job")


@pytest.mark.django_db
def test_no_question_reads_the_whole_ledger():
    """Among 100,000 jobs: 90 of 100 are done, 9 are for tomorrow, and few are to be looked at now."""
    fill(
        100_000,
        "CASE WHEN mod(n, 10) > 0 THEN 'succeeded' WHEN mod(n, 1000) > 0 THEN 'waiting'"
        " WHEN mod(n, 2000) > 0 THEN 'ready' ELSE 'running' END",
    )
    # All that is for later is 2,000 pages.
    assert pages(QUESTIONS["dispatcher: due jobs"]) < 200, "it reads all that is for later"
    whole = {name: sql for name, call in QUESTIONS.items() for sql, plan in plans(call) if reads_all(plan)}
    assert whole == {}


@pytest.mark.django_db
@pytest.mark.parametrize("question", [rescue.release_followers, rescue.mark_orphans_dead])
def test_a_single_follower_is_looked_at_alone_among_all_that_wait(question: Callable[[], object]):
    """Half of the jobs wait for tomorrow, so PostgreSQL expects thousands that wait for another job."""
    fill(10_000, "CASE WHEN mod(n, 2) = 0 THEN 'succeeded' ELSE 'waiting' END")
    execute("UPDATE backroom_job SET run_at = NULL, after_id = NULL WHERE state = 'succeeded'")
    execute("UPDATE backroom_job SET run_at = NULL, after_id = id WHERE key = 'aged:1'")
    execute("ANALYZE backroom_job")
    assert not any(reads_all(plan) for _, plan in plans(question))


@pytest.mark.django_db
def test_at_rest_a_dispatcher_asks_once_whether_there_is_work(django_assert_num_queries):
    fill(2_000, "'succeeded'")
    resting = dispatcher.Dispatcher()
    resting.rescue_at = 0.0
    with django_assert_num_queries(2):
        resting.publish_due()
        resting.rescue_if_due()


@pytest.mark.django_db
@pytest.mark.parametrize("question", ["worker: claim", "worker: succeed", "worker: defer"])
def test_a_job_is_found_by_its_id_and_not_among_the_dead_rows_of_a_state(question: str):
    """Where vacuum can't clean, because of a transaction left open, the index of a state holds all that ever was."""
    fill(2_000, "'succeeded'")
    for _, plan in plans(QUESTIONS[question]):
        assert set(re.findall(r"'Index Name': '(\w+)'", str(plan))) <= OF_ONE_JOB


@pytest.mark.django_db(transaction=True)
def test_postgresql_plans_a_workers_statements_once_and_anew_now_and_then(monkeypatch):
    """The plan for an empty table reads all of a full one."""
    kept = "SELECT generic_plans > 0 FROM pg_prepared_statements"
    connection.ensure_connection()
    try:
        let_prepare(connection)
        monkeypatch.setattr(sql, "random", lambda: 1.0)
        for number in range(7):
            transitions.succeed(transitions.claim(aged.enqueue(number), "worker"), None)
        assert execute(kept) == [(True,), (True,)]
        monkeypatch.setattr(sql, "random", lambda: 0.0)
        assert transitions.claim(aged.enqueue(7), "worker")
        assert execute(kept) == [(False,)]
        for number in range(8, 11):  # and at each time
            transitions.succeed(transitions.claim(aged.enqueue(number), "worker"), None)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_worker_outlives_the_loss_of_a_plan_and_a_migration_of_its_columns(monkeypatch):
    connection.ensure_connection()
    try:
        let_prepare(connection)
        monkeypatch.setattr(sql, "random", lambda: 1.0)
        transitions.claim(aged.enqueue(1), "worker")
        execute("DEALLOCATE ALL")
        assert transitions.claim(aged.enqueue(2), "worker")
        let_prepare(connection)
        transitions.claim(aged.enqueue(3), "worker")
        execute("ALTER TABLE backroom_job ALTER key TYPE varchar(201)")
        assert transitions.claim(aged.enqueue(4), "worker")
    finally:
        execute("ALTER TABLE backroom_job ALTER key TYPE varchar(200)")
        connection.close()


@pytest.mark.django_db
def test_a_cancellation_does_not_read_the_jobs_that_wait():
    fill(10_000, "'waiting'")
    execute("UPDATE backroom_job SET run_at = NULL WHERE after_id IS NULL")
    execute("ANALYZE backroom_job")
    assert pages(QUESTIONS["web: cancel"]) < 200  # of 400; one row with its indexes takes 40


@pytest.mark.django_db
@pytest.mark.parametrize("dead_blocks", ["NULL", "true"])
def test_a_look_at_a_full_lane_does_not_read_the_jobs_that_wait(dead_blocks: str):
    """Also while PostgreSQL has yet to hear of any lane."""
    fill(10_000, "CASE n WHEN 1 THEN 'running' ELSE 'waiting' END")
    execute(
        f"UPDATE backroom_job SET lane = 'a', places = 1, dead_blocks = {dead_blocks}, run_at = {sql.PARKED},"  # noqa: S608
        " place = CASE state WHEN 'waiting' THEN 0 ELSE 1 END"
    )
    assert pages(open_lanes) < 100  # of 700
    assert pages(lambda: open_lanes(["a"])) < 100


def pages(call: Callable[[], object]) -> int:
    """How many pages the statement of a call touches."""
    ((_, (plan,)),) = plans(call, "ANALYZE, BUFFERS, ")
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


def plans(call: Callable[[], object], options: str = "") -> Iterator[tuple[str, Any]]:
    """Each statement on the ledger that a call sends, with PostgreSQL's plan for it."""
    found: list[tuple[str, Any]] = []

    def explain(execute: Callable, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "backroom_job" in sql:
            execute(f"EXPLAIN ({options}FORMAT json) {sql}", parameters, many, context)
            ((plan,),) = context["cursor"].fetchall()
            found.append((sql, json.loads(plan) if isinstance(plan, str) else plan))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(explain), suppress(transitions.Superseded):  # there is no such job
        call()
    assert found
    yield from found


def reads_all(plan: Any) -> bool:
    if isinstance(plan, list):
        return any(reads_all(part) for part in plan)
    if not isinstance(plan, dict):
        return False
    if plan.get("Node Type") == "Seq Scan" and plan.get("Relation Name") == "backroom_job":
        return True
    return any(reads_all(part) for part in plan.values())


@pytest.mark.django_db(transaction=True)
def test_what_is_purged_makes_room_so_that_the_table_stays_as_large_as_it_is():
    sizes = [cycle(begin) for begin in range(0, 6_000, 1_000)]
    assert sizes[-1] <= sizes[2] + 2 * PAGE, sizes  # a page of the free space map may come late


def cycle(begin: int) -> int:
    """A thousand jobs come, run, are finished and purged, and vacuum comes by; bytes of table and indexes then."""
    ids = list(enqueueing.insert([aged.call(number).row(None, {}) for number in range(begin, begin + 1_000)]))
    assert len(ids) == 1_000
    for change in ("state = 'running', worker = 'a'", "state = 'succeeded', finished_at = now() - interval '2 days'"):
        for half in (ids[::2], ids[1::2]):
            execute(f"UPDATE backroom_job SET {change} WHERE id = ANY(%s::uuid[])", half)  # noqa: S608
    assert operations.purge(1) == 1_000
    execute("VACUUM backroom_job")
    return execute("SELECT pg_total_relation_size('backroom_job')")[0][0]
