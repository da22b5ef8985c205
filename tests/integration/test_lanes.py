"""Lanes: n jobs of one name at a time, or one after the other, or in turns."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from backroom import Permanent, Retry, Snooze, enqueue_all, enqueue_many, task, testing
from backroom.ledger import operations, rescue, sql, transitions
from backroom.ledger.lanes import open_lanes
from backroom.ledger.models import Job, Pause
from backroom.ops import lanes
from backroom.runtime.dispatcher import Dispatcher
from tests.waiting import until

pytestmark = pytest.mark.django_db

errors: dict[int, Exception] = {}
ran: list[int] = []


@task(name="tests.lanes.call", limit=("endpoint:{id}", 2), retry=Retry(attempts=2, first=0, jitter=0))
def call(id: int, number: int = 0) -> None:
    ran.append(number)


@task(name="tests.lanes.event", in_order="customer:{id}", retry=Retry(attempts=2, first=60, jitter=0))
def event(id: int, number: int) -> None:
    ran.append(number)
    if number in errors:
        raise errors.pop(number)


@task(name="tests.lanes.ledger", in_order="account:{id}", dead_blocks=True, retry=Retry(attempts=1))
def booked(id: int, number: int) -> None:
    event.run(id, number)


@task(name="tests.lanes.mail", fair=("campaign:{id}", 3))
def mail(id: int) -> None:
    """One of many."""


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    errors.clear()
    ran.clear()


def ids(messages: list) -> list[str]:
    return [message.id for message in messages]


def claim(id: str):
    claimed = transitions.claim(id, "one")
    assert claimed
    return claimed


def end(id: str) -> list:
    """Claim and finish a job, then open its lane, as a worker does."""
    claimed = claim(id)
    transitions.succeed(claimed, None)
    return ids(open_lanes([claimed.lane]))


def test_at_most_as_many_jobs_of_a_lane_as_it_has_places_are_ready_and_each_end_lets_the_next_in():
    many = [call.enqueue(7) for _ in range(5)]
    other = call.enqueue(8)
    assert not Job.objects.filter(state="ready").exists()
    assert ids(open_lanes()) == [*many[:2], other]
    assert open_lanes() == []
    assert end(many[0]) == [many[2]]
    assert end(many[1]) == [many[3]]
    assert sorted(Job.objects.filter(state="ready", lane="limit:endpoint:7").values_list("place", flat=True)) == [1, 2]


def test_enqueue_many_parks_a_lanes_jobs_without_a_time():
    enqueue_many(call.call(7, number) for number in range(3))
    assert set(Job.objects.values_list("state", "place")) == {("waiting", 0)}
    assert {job.run_at.year for job in Job.objects.all()} == {9999}


def test_the_place_of_a_retry_a_snooze_a_dead_and_a_rescued_job_is_free():
    many = [call.enqueue(7) for _ in range(8)]
    assert ids(open_lanes()) == many[:2]
    transitions.defer(claim(many[0]), 60, "failed")
    assert ids(open_lanes()) == [many[2]]
    transitions.mark_dead(claim(many[1]), "failed for good")
    assert ids(open_lanes()) == [many[3]]
    claim(many[2])
    Job.objects.filter(id=many[2]).update(started_at=timezone.now() - timedelta(minutes=1))
    assert rescue.requeue_abandoned() == [many[2]]
    assert ids(open_lanes()) == [many[4]]
    operations.cancel(ids=many[3:5])
    assert ids(open_lanes()) == many[5:7]
    transitions.requeue_ready([many[5]])
    assert ids(open_lanes()) == [many[7]]


def test_a_job_that_is_due_again_waits_in_its_lane_for_a_place():
    many = [call.enqueue(7) for _ in range(3)]
    open_lanes()
    transitions.defer(claim(many[0]), -1, "failed")
    assert ids(transitions.stage_due(9)) == [many[0]]  # the oldest of those that wait
    transitions.defer(claim(many[0]), 60, "failed")
    assert ids(open_lanes()) == [many[2]]
    operations.reschedule(ids=many)
    Job.objects.filter(id=many[0]).update(run_at=timezone.now() - timedelta(seconds=1))
    assert transitions.stage_due(9) == []
    assert Job.objects.get(id=many[0]).place == 0
    assert end(many[1]) == [many[0]]


def test_a_delayed_job_and_a_follower_join_their_lane_when_they_are_due():
    late = call.using(run_after=timedelta(seconds=60)).enqueue(7)
    (head,) = enqueue_all(mail.call(1).then(call.call(7)))
    follower = str(Job.objects.get(after_id=head).id)
    soon = [call.enqueue(7) for _ in range(2)]
    assert set(ids(open_lanes())) == {*soon, head}
    assert end(head) == []
    assert transitions.stage_due(9) == []
    assert Job.objects.get(id=follower).place == 0
    assert end(soon[0]) == [follower]
    Job.objects.filter(id=late).update(run_at=timezone.now() - timedelta(seconds=1))
    assert transitions.stage_due(9) == []
    assert end(soon[1]) == [late]


def test_a_paused_queues_or_tasks_jobs_stay_parked_and_let_others_of_a_limit_pass():
    enqueue_all(call.call(7), event.call(7, 1))
    other = call.using(queue_name="bulk").enqueue(7)
    Pause.objects.create(what="queue:default", who="x")
    assert ids(open_lanes()) == [other]
    Pause.objects.all().delete()
    assert len(open_lanes()) == 2


def test_strict_order_holds_through_retries():
    for number in range(3):
        event.enqueue(7, number)
    errors[0], errors[1] = OSError("x"), Snooze(60, "x")
    testing.run_jobs(raising=False)
    assert ran == [0]
    testing.advance(timedelta(seconds=61))
    testing.run_jobs(raising=False)
    assert ran == [0, 0, 1]
    testing.advance(timedelta(seconds=61))
    testing.run_jobs()
    assert ran == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(("job", "order"), [(event, [0, 1, 2]), (booked, [0, 0, 1, 2])])
def test_a_dead_letter_holds_back_its_followers_only_where_that_is_declared(job, order):
    first, *_ = [job.enqueue(7, number) for number in range(3)]
    errors[0] = Permanent("x")
    testing.run_jobs(raising=False)
    if job is booked:
        assert ran == [0]
        operations.replay([first])
        testing.run_jobs()
    assert ran == order


def test_a_cancelled_one_holds_back_none_and_its_replay_comes_first():
    first, second, third = [event.enqueue(7, number) for number in range(3)]
    operations.cancel(ids=[first])
    assert ids(open_lanes()) == [second]
    operations.replay([first])
    assert transitions.stage_due(9) == []
    assert end(second) == [first]
    assert end(first) == [third]


def test_a_chain_in_one_lane_runs_through():
    enqueue_all(event.call(7, 1).then(event.call(7, 2)), event.call(7, 3))
    testing.run_jobs()
    assert ran == [1, 2, 3]


def test_those_who_enqueue_many_and_few_take_turns():
    enqueue_many(mail.call(1) for _ in range(50))
    few = [mail.enqueue(2) for _ in range(2)]
    opened = ids(open_lanes())
    assert len(opened) == 5
    assert set(few) < set(opened)


def test_a_dispatcher_publishes_what_a_lane_lets_in():
    many = [call.enqueue(7) for _ in range(3)]
    Dispatcher().publish_due()
    ready = Job.objects.filter(state="ready").order_by("id")
    assert [str(job.id) for job in ready] == many[:2]


def test_celerys_spellings_lead_into_the_lane():
    call.delay(7)
    call.apply_async([7], countdown=60)
    (call.si(7) | call.si(8)).delay()
    lanes_of = Job.objects.order_by("created_at", "run_at").values_list("lane", "place", "after_id")
    assert [lane for lane, *_ in lanes_of].count("limit:endpoint:7") == 3
    assert sorted((place is None, after is None) for _, place, after in lanes_of) == [
        (False, True), (False, True), (True, False), (True, True),
    ]  # fmt: skip


def test_a_dispatcher_looks_into_full_lanes_in_a_twentieth_of_its_time(monkeypatch):
    def look(limit: int) -> list:
        looks.append(limit)
        time.sleep(0.05)
        return []

    looks: list[int] = []
    monkeypatch.setattr("backroom.runtime.dispatcher.open_lanes", look)
    call.enqueue(7)
    resting, begin = Dispatcher(), time.monotonic()
    resting.publish_due()
    assert len(looks) == 1
    assert resting.lanes_at > begin + 20 * 0.05


def test_who_waits_for_what_can_be_read():
    many = [call.enqueue(7) for _ in range(5)]
    call.enqueue(8)
    open_lanes()
    (lane,) = lanes.waiting()
    assert lane == ("limit:endpoint:7", 2, many[:2], 3, Job.objects.get(id=many[2]).created_at, False, False)


@pytest.mark.parametrize("job", [call, event])
def test_what_expires_in_a_lane_is_cancelled_when_its_turn_comes_and_uses_no_place(job):
    enqueue_all(*[replace(job.call(7, number), expires=timedelta(microseconds=1)) for number in range(150)])
    last = job.enqueue(7, 150)
    assert ids(open_lanes()) == [last]
    assert Job.objects.filter(state="cancelled", error__startswith="expired").count() == 150


def elsewhere(function, *arguments):
    try:
        return function(*arguments)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_of_two_that_open_a_lane_at_once_one_looks_again():
    """The second does not see the first job, which is not committed yet, and gives the place to the next one."""
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        first = event.enqueue(7, 1)
        second = pool.submit(elsewhere, event.enqueue, 7, 2).result()
        assert ids(open_lanes(["order:customer:7"])) == [first]
        late = pool.submit(elsewhere, open_lanes, ["order:customer:7"])
        until(lambda: sql.rows("SELECT FROM pg_locks WHERE NOT granted"))
    assert late.result() == []
    assert Job.objects.get(id=second).place == 0
