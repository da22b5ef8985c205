"""A world around the ledger that can be led step by step: workers, a broker, time, and two statements at once.

Each step is judged (ledger_judge). Database and broker are real. Only time is ours: it passes by moving every stamp
into the past.
"""

import itertools
import json
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import redis
from django.db import connection, transaction
from django.db.models.functions import Now

from backroom import Duplicate, Retry, batch, enqueue_all, grow, task
from backroom.ledger import batches, enqueueing, lanes, operations, rescue, sql, transitions
from backroom.ledger.errors import Superseded
from backroom.ledger.models import LIVE, Batch
from backroom.ledger.retry import judge
from backroom.observe import progress
from backroom.runtime import names, publisher
from backroom.runtime.dispatcher import Dispatcher
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.lane import Lane
from backroom.runtime.pulse import requeue_unfinished
from backroom.runtime.worker import mark_terminated
from tests.integration.heartbeats import worker_beats
from tests.integration.ledger_judge import Judge, Outcome, holds, stuck

POLICY = Retry(attempts=2, first=0, cap=0, jitter=0)
QUEUE = "default"
WINDOW = 600  # seconds of a deploy
MONTH = 31 * 24 * 3600  # seconds
# Two at a time; and one after the other, where a dead letter lets the others pass, or does not.
LANES = {lane.name: lane for lane in (Lane("two", 2), Lane("order", 1, False), Lane("blocks", 1, True))}
EMPTY = (
    "DELETE FROM backroom_job; DELETE FROM backroom_batch; DELETE FROM backroom_heartbeat; DELETE FROM backroom_unique"
)
Statement = tuple[str, tuple]  # its name in ledger, rescue or here, and its arguments


@task(name="tests.step", queue=QUEUE, retry=POLICY)
def step(before: str | None = None) -> None:
    """A step of a chain gets the id of the one before it as its result."""


@task(name="tests.complain", queue=QUEUE, retry=POLICY)
def complain() -> None:
    """A batch's `on_dead`."""


def number(n: int) -> str:
    """The id of the n-th job."""
    return str(uuid.UUID(int=n))


class World:
    """An empty ledger and an empty broker to begin with. `elsewhere` is one thread, with a connection of its own."""

    def __init__(self, broker: redis.Redis, elsewhere: ThreadPoolExecutor) -> None:
        self.broker = broker
        self.elsewhere = elsewhere
        self.broker.delete(QUEUE)
        with connection.cursor() as cursor:
            cursor.execute(EMPTY)
        self.ids = map(number, itertools.count(1))
        self.taken: list[sql.Claimed] = []  # every claim ever
        self.court = Judge()
        self.sound = True  # False once a step has failed

    def happens(self, statement: Statement) -> None:
        """One statement, judged."""
        self.judge(self.run(statement))

    def happen_at_once(self, first: Statement, second: Statement, commits: bool = True) -> None:
        """The second comes while the first is not committed yet; or the first never is, as its process dies."""
        self.sound = False
        with transaction.atomic():
            one, two = self.run(first), self.elsewhere.submit(self.run, second)
            while not two.done() and not sql.rows("SELECT FROM pg_locks WHERE NOT granted"):
                wait([two], timeout=0.001)
            transaction.set_rollback(not commits)
        self.judge(*[one] * commits, two.result())

    def deliver(self, worker: str) -> None:
        """The broker's next message comes to a worker, which claims the job."""
        if message := self.broker.rpop(QUEUE):
            self.happens(("claim", (json.loads(message)["headers"]["id"], worker)))

    def pass_time(self, seconds: int) -> None:
        """Move all stamps, of rows and of messages, into the past."""
        columns = "run_at", "published_at", "started_at", "finished_at", "unknown_since", "expires_at"
        changes = ", ".join(f"{column} = {column} - %(s)s * interval '1 second'" for column in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE backroom_job SET {changes}", {"s": seconds})  # noqa: S608
            cursor.execute("UPDATE backroom_heartbeat SET seen_at = seen_at - %s * interval '1 second'", [seconds])
        for index, message in enumerate(map(json.loads, self.broker.lrange(QUEUE, 0, -1))):
            message["headers"]["published_at"] -= seconds
            self.broker.lset(QUEUE, index, json.dumps(message))
        self.court.look()

    def come_to_rest(self) -> None:
        """All workers died and all messages are lost, but from now on all is well. Raises AssertionError unless every
        job then comes to its end, or waits behind one that gave up."""
        self.broker.delete(QUEUE)
        dispatcher = Dispatcher()
        for _ in range(20):
            self.pass_time(61)
            dispatcher.rescue_at = 0
            dispatcher.rescue_if_due()
            dispatcher.publish_due()
            self.court.look()
            while self.broker.llen(QUEUE):
                self.deliver("healthy")
                if holds(self.taken[-1], self.court.jobs):
                    self.happens(("succeed", (self.taken[-1],)))
                    self.happens(("open_lanes", ([self.taken[-1].lane or ""],)))
            jobs = self.court.jobs.values()
            live = [job for job in jobs if job.state in LIVE and not stuck(job, jobs, self.court.batches)]
            if not live:
                return
        raise AssertionError(f"never done: {[(str(job.id), job.state, job.after_id, job.run_at) for job in live]}")

    def run(self, statement: Statement) -> Outcome:
        name, arguments = statement
        rooms = self, transitions, operations, rescue, lanes, names, batches, enqueueing
        function = next(getattr(room, name) for room in rooms if hasattr(room, name))
        try:
            return Outcome(name, arguments, function(*arguments))
        except Superseded as late:
            return Outcome(name, arguments, late)

    def judge(self, *outcomes: Outcome) -> None:
        """Judge a step, remember the claims taken, publish what it made ready. All batches may be counted again."""
        self.sound = False
        self.court.judge(*outcomes)
        Batch.objects.update(count_again_at=Now() - timedelta(1))
        for name, _, result in outcomes:
            if name == "claim" and result:
                self.taken.append(result)
            if name in ("succeed", "stage_due", "open_lanes") and not isinstance(result, Superseded):
                publisher.publish(result)
                self.court.look()  # a broker in trouble changes rows
        self.sound = True

    # Statements that need a hand

    def enqueue(self, keys: list[str | None], seconds: int | None, lane: str | None = None) -> str:
        call = replace(step.call(), lane=lane and LANES[lane])
        head, *followers = [replace(call, key=key, id=next(self.ids)) for key in keys]
        head = replace(head, run_after=seconds and timedelta(seconds=seconds))
        return enqueue_all(head.then(*(replace(call, takes_result="before") for call in followers)))[0]

    def enqueue_expiring(self, seconds: int | None) -> str:
        """A job that has to begin within 20 seconds, and one behind it."""
        head, follower = (replace(step.call(), id=next(self.ids)) for _ in range(2))
        head = replace(head, run_after=seconds and timedelta(seconds=seconds), expires=timedelta(seconds=20))
        return enqueue_all(head.then(replace(follower, takes_result="before")))[0]

    def enqueue_unique(self, how: tuple[str, str], argument: str, seconds: int | None) -> str:
        """Returns the id of the job that has the name. One with the argument x expires."""
        rule, duplicate = how
        expires = timedelta(seconds=20) if argument == "x" else None
        after = seconds and timedelta(seconds=seconds)
        options = step.using(unique=(rule, rule), duplicate=duplicate, run_after=after, expires=expires)
        try:
            return enqueue_all(replace(options.call(argument), id=next(self.ids)))[0]
        except Duplicate as refused:
            return refused.job_id

    def batch(self, keys: list[str | None], if_dead: str) -> str | None:
        """None if a member's key is that of a job that can't join."""
        then, *members = [replace(step.using(key=key).call(), id=next(self.ids)) for key in [None, *keys]]
        with suppress(ValueError):
            return batch(members, then=then, on_dead=complain.call(), if_dead=if_dead)
        return None

    def grow(self, claim: sql.Claimed) -> None:
        """The body of this claim adds to its batch, if it has one that is open."""
        call = replace(step.call(), id=next(self.ids))
        with suppress(ValueError), progress.of_attempt(claim):
            grow([call])

    def cancel_batch(self, id: str) -> list[str]:
        return operations.cancel(batches=[id])

    def succeed(self, claim: sql.Claimed) -> list[sql.Message]:
        return transitions.succeed(claim, claim.id)

    def fail(self, claim: sql.Claimed, error: Exception) -> None:
        verdict = judge(error, POLICY, claim.attempts, claim.max_attempts)
        if verdict.state == "dead":
            return transitions.mark_dead(claim, str(error))
        return transitions.defer(claim, verdict.seconds, str(error), verdict.uses_attempt)

    def rerun(self, id: str) -> bool:
        """The caller read the ledger before this step, so its claim may be out of date."""
        job = self.court.jobs.get(id)
        return operations.rerun(id, job.claims if job else 0, "its effect got lost")

    def cancel(self, ids: list[str]) -> list[str]:
        return operations.cancel(ids=ids, dead=True)

    def cancel_running(self, ids: list[str]) -> list[str]:
        return operations.cancel(ids=ids, running=True, why="a person asked")

    def save_cursor(self, claim: sql.Claimed, at: int) -> None:
        transitions.save_cursor(claim, {"at": at})

    def cancel_key(self, key: str) -> list[str]:
        return operations.cancel(keys=[key], why="done elsewhere")

    def relink(self, id: str) -> bool:
        return operations.relink(id, None)

    def defer_unknown(self, ids: list[str]) -> None:
        transitions.defer_unknown(ids, "no such task", WINDOW)

    def defer_unknown_claim(self, claim: sql.Claimed) -> None:
        transitions.defer_unknown(claim, "no such argument", WINDOW)

    def worker_beats(self, worker: str, running: list[str]) -> list[str]:
        return worker_beats(worker, QUEUE, running)

    def stop_heartbeat(self, worker: str) -> None:
        Heartbeat("worker", worker).stop()

    def requeue_unfinished(self, worker: str) -> list[str]:
        return requeue_unfinished(worker)

    def mark_terminated(self, id: str, worker: str) -> None:
        mark_terminated(id, worker)

    def requeue_lost_messages(self, queue: str, oldest: str | None) -> list[str]:
        message = oldest and self.broker.lindex(queue, -1)
        return transitions.requeue_ready(
            rescue.lost_messages(queue, message and json.loads(message)["headers"]["published_at"])
        )


def jobs_in_every_state(world: World) -> tuple[sql.Claimed, sql.Claimed]:
    """1 is running, for the second and last time, on a worker long silent, 2 waits for it; 3 is ready, its message
    lost, 4 waits for it; 5 is due; 6 is dead, 7 cancelled, 8 succeeded, 10 waits for it; 11 is running on a worker
    that lives, and is to be cancelled; 12 succeeded; 13 has the only place of a lane, on the silent worker, 14 is
    parked; 15 is ready and 17 is due, both too late to begin; 19 is ready and has a unique name: all for a month.
    Returns both claims of 1. `again` brings the rows back."""
    for keys, seconds in ([None, "e"], None), (["a", None], None), (["b"], 30), ([None], None), ([None], None):
        world.enqueue(keys, seconds)
    world.enqueue(["c"], None)
    late, dying = (claim(number(n), "one") for n in (1, 6))
    world.fail(late, OSError("x"))
    world.fail(dying, OSError("x"))
    running, dead, done = (claim(number(n), "one") for n in (1, 6, 8))
    world.fail(dead, OSError("x"))
    operations.cancel(ids=[number(7)])
    world.succeed(done)
    world.enqueue(["c", None], None)  # no job 9: 8 has the key
    operations.cancel(ids=[claim(world.enqueue([None], None), "two").id], running=True)
    world.succeed(claim(world.enqueue(["d"], None), "two"))
    world.enqueue([None], None, "order")
    world.enqueue([None], None, "order")
    lanes.open_lanes()
    claim(number(13), "one")
    world.enqueue_expiring(None)
    world.enqueue_expiring(10)
    world.enqueue_unique(("while waiting", "drop"), "y", None)
    world.pass_time(MONTH)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM backroom_job")
    return late, running


def again() -> None:
    """The rows of jobs_in_every_state, at a thirtieth of the cost of `bulk_create`."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO backroom_job SELECT * FROM kept")


def batch_in_progress(world: World, if_dead: str) -> sql.Claimed:
    """1 waits for 2, which has succeeded, for 3, which runs, and for 4, which is ready and has the key "a". Returns the
    claim of 3."""
    world.happens(("batch", ([None, None, "a"], if_dead)))
    world.happens(("claim", (number(2), "two")))
    world.happens(("succeed", (world.taken[0],)))
    world.happens(("claim", (number(3), "two")))
    return world.taken[1]


def claim(id: str, worker: str) -> sql.Claimed:
    """A broker that answers late, on a busy machine, left the job due. Raises AssertionError if it can't be claimed."""
    transitions.stage_due(9)
    claimed = transitions.claim(id, worker)
    assert claimed
    return claimed


def hurry() -> None:
    """Don't wait for the disk: no power cut is tried here."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO off")
