"""The ledger against chance: whatever workers, dispatchers, people and a forgetful broker do, in any order and two at
once, no job is lost, none runs twice at a time, none succeeds twice.

For a long soak: `HYPOTHESIS_PROFILE=long python -m pytest tests/integration/test_ledger_properties.py`.
"""

import inspect
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import redis
from celery import current_app
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from backroom import Permanent, RetryAfter, Snooze
from backroom.ledger import batches, enqueueing, lanes, operations, rescue, sql, transitions
from backroom.ledger.models import Batch, Heartbeat, Job, Unique
from backroom.runtime import names
from tests.integration.ledger_judge import HOLDS, MOVES, holds
from tests.integration.ledger_world import (
    LANES,
    MONTH,
    QUEUE,
    Statement,
    World,
    again,
    batch_in_progress,
    hurry,
    jobs_in_every_state,
    number,
)

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
PROFILE = settings(
    max_examples=3_000 if LONG else 8,
    stateful_step_count=50,
    derandomize=not LONG,  # the same examples in every run, unless one looks for new ones
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class AJob(NamedTuple):
    """Drawn without a look at the ledger, so that an example can be drawn again: the n-th job in these states."""

    n: int
    states: tuple[str, ...]

    def now(self, world: World) -> str:
        fitting = [id for id, job in world.court.jobs.items() if job.state in self.states]
        return fitting[self.n % len(fitting)] if fitting else number(1 + self.n)


class AClaim(NamedTuple):
    """The n-th claim ever taken, or the n-th of those that hold their jobs."""

    n: int
    held: bool

    def now(self, world: World) -> sql.Claimed:
        fitting = [claim for claim in world.taken if not self.held or holds(claim, world.court.jobs)] or world.taken
        return fitting[self.n % len(fitting)]


def now(world: World, drawn: Any) -> Any:
    """The drawn value, with jobs and claims as they stand now."""
    if isinstance(drawn, AJob | AClaim):
        return drawn.now(world)
    return type(drawn)(now(world, each) for each in drawn) if isinstance(drawn, list | tuple) else drawn


def job(*states: str) -> st.SearchStrategy:
    """Any of the first jobs, or one in these states: else most steps would change nothing."""
    return st.builds(AJob, st.integers(0, 2), st.sampled_from([(), states]))


def some(*states: str) -> st.SearchStrategy:
    return st.lists(job(*states), min_size=1, max_size=2)


claim = st.builds(AClaim, st.integers(0, 5), st.booleans())
key = st.sampled_from(["a", "b"])
worker = st.sampled_from(["one", "two"])
error = st.sampled_from([OSError("x"), Permanent("x"), RetryAfter(30, "x"), Snooze(30, "x")])
lane = st.none() | st.sampled_from([*LANES])
chain = st.lists(st.none() | key, min_size=1, max_size=3)  # the keys of a job and its followers

# How a name is held, and what becomes of a newcomer.
name = st.sampled_from(
    [(rule, end) for rule in HOLDS for end in ("drop", "refuse", "replace") if (rule, end) != ("while live", "replace")]
)

# Every statement that changes the ledger, with its arguments.
STATEMENTS: dict[str, tuple[st.SearchStrategy, ...]] = {
    "enqueue": (chain, st.sampled_from([None, 30]), lane),
    "enqueue_expiring": (st.sampled_from([None, 10]),),
    "enqueue_unique": (name, st.sampled_from(["x", "y"]), st.sampled_from([None, 10])),
    "claim": (job("ready"), worker),
    "succeed": (claim,),
    "fail": (claim, error),
    "stage_due": (st.sampled_from([1, 9]),),
    "requeue_ready": (some("ready"),),
    "reschedule": (key,),
    "cancel_key": (key,),
    "cancel": (some("ready", "waiting", "dead"),),
    "cancel_running": (some("running"),),
    "save_cursor": (claim, st.integers(0, 9)),
    "replay": (some("dead", "cancelled"),),
    "rerun": (job("succeeded"),),
    "purge": (st.just(30),),
    "worker_beats": (worker, st.lists(job("running"), max_size=2)),
    "stop_heartbeat": (worker,),
    "requeue_unfinished": (worker,),
    "requeue_abandoned": (),
    "requeue_lost_messages": (st.just(QUEUE), st.sampled_from(["oldest", None])),
    "defer_unknown": (some("ready"),),
    "defer_unknown_claim": (claim,),
    "mark_terminated": (job("running"), worker),
    "release_followers": (),
    "mark_orphans_dead": (),
    "relink": (job("waiting"),),
    "purge_names": (),
    "open_lanes": (st.just([*LANES]),),
    "batch": (st.lists(st.none() | key, max_size=3), st.sampled_from(["wait", "go on", "cancel"])),
    "grow": (claim,),
    "cancel_batch": (job("waiting"),),
    "look": (),
}
statement = st.one_of([st.tuples(st.just(name), st.tuples(*drawn)) for name, drawn in STATEMENTS.items()])


class Chance(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize(keys=chain, lane=lane)
    def a_first_job_is_claimed(self, keys, lane):
        self.world.happens(("enqueue", (keys, None, lane)))
        self.world.happens(("open_lanes", ([*LANES],)))
        self.world.happens(("worker_beats", ("one", [])))
        self.world.happens(("claim", (number(1), "one")))

    @rule(statement=statement)
    def happens(self, statement):
        self.world.happens(now(self.world, statement))

    @rule(first=statement, second=statement, commits=st.booleans())
    def happen_at_once(self, first, second, commits):
        self.world.happen_at_once(now(self.world, first), now(self.world, second), commits)

    @rule(worker=worker)
    def all_messages_are_delivered(self, worker):
        """Soon after what waits is due: else second claims, and so late finishes by the first ones, would be rare."""
        self.world.pass_time(31)
        self.world.happens(("stage_due", (9,)))
        self.world.happens(("open_lanes", ([*LANES],)))
        while self.world.broker.llen(QUEUE):
            self.world.deliver(worker)

    @rule(first=st.integers(0, 2), last=st.integers(-3, -1), again=st.booleans())
    def the_broker_loses_messages_and_repeats_one(self, first, last, again):
        message = self.world.broker.lindex(QUEUE, -1)
        self.world.broker.ltrim(QUEUE, first, last)
        if message and again:
            self.world.broker.lpush(QUEUE, message)

    @rule(seconds=st.sampled_from([2, 6, 11, 31, 61, MONTH]))
    def time_passes(self, seconds):
        self.world.pass_time(seconds)

    def teardown(self):
        if self.world.sound:  # else show the step that failed, not its consequences
            self.world.come_to_rest()


@pytest.fixture
def outside(transactional_db) -> Iterator[tuple[redis.Redis, ThreadPoolExecutor]]:
    """The broker, and a thread with another connection to the database."""
    with redis.Redis.from_url(current_app.conf.broker_url) as broker, ThreadPoolExecutor(1) as elsewhere:
        hurry()
        elsewhere.submit(hurry).result()
        yield broker, elsewhere
        elsewhere.submit(lambda: connection.close()).result()
        connection.close()
        broker.delete(QUEUE)


@pytest.mark.timeout(0 if LONG else 600)  # a failing example takes minutes to be made short
def test_no_interleaving_loses_a_job_or_runs_it_twice(outside):
    run_state_machine_as_test(lambda: Chance(World(*outside)), settings=PROFILE)


@pytest.mark.timeout(600)  # a thousand pairs: 20 s, and over 120 s on a machine with a load of 20
def test_no_two_statements_at_once_lose_a_job_or_run_it_twice(outside):
    """Each statement, alone and while any other is not committed yet, on a ledger with jobs in every state."""
    whole = World(*outside)
    late, running = jobs_in_every_state(whole)
    statements = every_statement(late, running)
    for first, second in itertools.product([None, *statements], statements):
        world = World(*outside)
        world.ids = map(number, itertools.count(20))
        again()
        Heartbeat.objects.create(role="worker", name="two")
        Unique.objects.create(name="while waiting", job_id=number(19))
        world.court.named[number(19)] = "while waiting"
        world.court.effects.update([number(8), number(12)])
        world.court.jobs, world.court.alive = dict(whole.court.jobs), {"two"}  # what a look would find
        if first:
            world.happen_at_once(first, second)
        else:
            world.happens(second)


@pytest.mark.parametrize("if_dead", ["wait", "cancel"])
def test_no_two_statements_at_once_lose_a_callback_or_release_it_early(outside, if_dead):
    for first, second in itertools.permutations(range(10), 2):
        if min(first, second) > 1:
            continue  # neither counts members nor adds one
        world = World(*outside)
        statements = statements_on_a_batch(batch_in_progress(world, if_dead), number(1), number(4))
        world.happen_at_once(statements[first], statements[second], commits=(first + second) % 3 > 0)
        world.happens(("look", ()))
        failed = Batch.objects.exclude(failed_at=None).count()
        assert Job.objects.filter(task="tests.complain").count() == failed, "on_dead was not enqueued once"


def test_two_dispatchers_of_which_one_dies_enqueue_on_dead_once(outside):
    world = World(*outside)
    world.happens(("fail", (batch_in_progress(world, "wait"), Permanent("x"))))
    found = []
    for commits in False, True, True:
        world.happen_at_once(("look", ()), ("look", ()), commits)
        found.append(Job.objects.filter(task="tests.complain").count())
    assert found == [0, 1, 1]


def test_a_job_is_not_purged_while_one_is_enqueued_behind_it(outside):
    world = World(*outside)
    world.happens(("enqueue", (["a"], None)))
    world.happens(("claim", (number(1), "one")))
    world.happens(("succeed", (world.taken[0],)))
    world.pass_time(MONTH)
    world.happen_at_once(("enqueue", (["a", None], None)), ("purge", (30,)))


def test_a_job_that_is_replayed_at_this_moment_is_not_purged(outside):
    world = World(*outside)
    world.enqueue([None], None)
    operations.cancel(ids=[number(1)])
    world.pass_time(MONTH)
    world.happen_at_once(("replay", ([number(1)],)), ("purge", (30,)))


def test_a_cancelled_job_is_not_purged_while_another_waits_for_it(outside):
    world = World(*outside)
    world.enqueue(["a"], None)
    operations.cancel(keys=["a"], why="done elsewhere")
    world.enqueue(["a", None], None)
    world.pass_time(MONTH)
    assert operations.purge(30) == 0


def every_statement(late: sql.Claimed, running: sql.Claimed) -> list[Statement]:
    heads = [number(n) for n in (1, 3, 5, 6, 7, 8, 11, 19, 13, 14)]
    return [
        ("enqueue", (["d", None], None)),
        ("enqueue_unique", (("while waiting", "replace"), "x", None)),
        ("claim", (number(19), "two")),
        ("claim", (number(15), "two")),
        ("succeed", (late,)),
        ("succeed", (running,)),
        ("fail", (late, Permanent("x"))),
        ("fail", (running, Permanent("x"))),
        ("stage_due", (9,)),
        ("requeue_ready", (heads,)),
        ("reschedule", ("e",)),
        ("cancel_key", ("a",)),
        ("cancel", (heads,)),
        ("cancel_running", (heads,)),
        ("save_cursor", (running, 7)),
        ("replay", (heads,)),
        ("rerun", (number(8),)),
        ("rerun", (number(12),)),
        ("purge", (30,)),
        ("worker_beats", ("one", [])),
        ("worker_beats", ("two", [number(11)])),
        ("stop_heartbeat", ("one",)),
        ("requeue_unfinished", ("one",)),
        ("requeue_unfinished", ("two",)),
        ("requeue_abandoned", ()),
        ("requeue_lost_messages", (QUEUE, None)),
        ("defer_unknown", (heads,)),
        ("defer_unknown_claim", (late,)),
        ("defer_unknown_claim", (running,)),
        ("mark_terminated", (number(1), "one")),
        ("mark_terminated", (number(11), "one")),
        ("release_followers", ()),
        ("mark_orphans_dead", ()),
        ("relink", (number(2),)),
        ("relink", (number(10),)),
        ("open_lanes", ([*LANES],)),
    ]


def statements_on_a_batch(running: sql.Claimed, callback: str, ready: str) -> list[Statement]:
    return [
        ("look", ()),
        ("grow", (running,)),
        ("succeed", (running,)),
        ("fail", (running, Permanent("x"))),
        ("claim", (ready, "one")),
        ("cancel", ([ready],)),
        ("cancel", ([callback],)),
        ("cancel_batch", (callback,)),
        ("replay", ([callback, running.id],)),
        ("batch", (["a"], "wait")),
    ]


def test_every_statement_that_changes_a_job_is_tried():
    writers = {
        name
        for module in (transitions, operations, rescue, lanes, names, batches, enqueueing)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    readers = {"ids_of", "same_jobs", "lost_messages", "running_on"}
    # These stand in STATEMENTS under the names of those that call them.
    called = {"insert", "defer", "mark_dead", "expire", "end_cancelled", "take", "states", "replace", "outlast",
              "begin", "join"}  # fmt: skip
    callers = {"enqueue", "enqueue_expiring", "enqueue_unique", "batch", "cancel_batch", "fail", "cancel_key",
               "cancel_running", "worker_beats", "stop_heartbeat",
               "requeue_unfinished", "requeue_lost_messages", "defer_unknown_claim", "mark_terminated"}  # fmt: skip
    assert set(STATEMENTS) - callers == writers - readers - called
    assert set(STATEMENTS) == set(MOVES)
