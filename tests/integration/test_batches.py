"""Batches on a real PostgreSQL: when the callback is due, what it gets, and who adds to a batch."""

from datetime import timedelta

import pytest
from celery import chain, chord, group
from django.db import transaction
from django.db.models.functions import Now

from backroom import batch, enqueue_all, enqueue_many, grow, task, testing
from backroom.ledger import batches, operations, sql, transitions
from backroom.ledger.models import Batch, Job
from backroom.observe import progress
from backroom.runtime import execution
from backroom.runtime.batch import overview, results
from backroom.runtime.enqueue import SLICE

pytestmark = pytest.mark.django_db


@task(name="tests.part", key=None)
def part(number: int) -> int:
    return number


@task(name="tests.named_part", key="part:{number}")
def named_part(number: int) -> int:
    return number


@task(name="tests.whole", key="whole:{name}")
def whole(name: str) -> None:
    """What runs at the end."""


@task(name="tests.complaint")
def complaint(name: str) -> None:
    """A member is dead or cancelled."""


@task(name="tests.listed")
def listed(numbers: list | None) -> list | None:
    return numbers


@task(name="tests.tagged")
def tagged(numbers: list | None, tag: str) -> list:
    return [tag, *(numbers or [])]


@task(name="tests.alone", unique=("alone:{number}", "while live"))
def alone(number: int) -> None:
    """One of each number."""


@task(name="tests.ordered", in_order="number:{number}")
def ordered(number: int) -> None:
    """One after the other."""


@task(name="tests.growing")
def growing(number: int) -> int:
    grow(part.call(more) for more in range(number))
    return number


def state(id: str) -> str:
    return Job.objects.get(id=id).state


def due(id: str) -> bool:
    """Whether the callback has been released."""
    return Job.objects.get(id=id).run_at is not None


def members(id: str) -> list[str]:
    return [str(job.id) for job in Job.objects.filter(batch_id=id).order_by("id")]


def look() -> None:
    """As a dispatcher does, but at once."""
    Batch.objects.update(count_again_at=Now())
    batches.look()


def succeed(*ids: str) -> None:
    for id in ids:
        claimed = transitions.claim(id, "one")
        transitions.succeed(claimed, claimed.args.get("number"))


def die(id: str) -> None:
    transitions.mark_dead(transitions.claim(id, "one"), "OSError: x")


def three(**options: object) -> tuple[str, list[str]]:
    id = batch((part.call(n) for n in range(3)), then=whole.call("three"), **options)
    return id, members(id)


def count_of(name: str) -> int:
    return Job.objects.filter(task=name).count()


def test_the_callback_is_due_once_all_have_succeeded():
    id, (first, second, third) = three()
    succeed(first, second)
    look()
    assert (state(id), due(id)) == ("waiting", False)
    succeed(third)
    look()
    assert due(id)
    assert [message.id for message in transitions.stage_due(9)] == [id]
    look()
    assert transitions.claim(id, "one").claims == 1
    look()
    assert transitions.stage_due(9) == []


def test_a_members_finish_changes_no_row_but_its_own():
    """So that no two of 10,000 wait for one lock. PostgreSQL writes a changed row to another place, its ctid."""
    places = "SELECT id::text, ctid::text FROM backroom_job UNION ALL SELECT 'batch', ctid::text FROM backroom_batch"
    _, (first, *_) = three()
    claimed = transitions.claim(first, "one")
    before = dict(sql.rows(places))
    transitions.succeed(claimed, 1)
    after = dict(sql.rows(places))
    assert [id for id in before if after[id] != before[id]] == [first]
    assert state(first) == "succeeded"


def test_the_callback_of_an_empty_batch_is_due_at_once():
    id = batch([], then=whole.call("nothing"))
    look()
    assert due(id)


def test_a_rollback_leaves_no_batch():
    with transaction.atomic():
        three()
        transaction.set_rollback(True)
    assert not Batch.objects.exists()
    assert not Job.objects.exists()


def test_any_number_of_calls_makes_one_batch():
    id = batch((part.call(n) for n in range(2 * SLICE + 1)), then=whole.call("many"))
    assert (overview()[0].total, len(members(id))) == (2 * SLICE + 1, 2 * SLICE + 1)


def test_a_batch_that_is_enqueued_twice_is_one():
    id, _ = three()
    assert three()[0] == id
    assert (Batch.objects.count(), count_of("tests.part")) == (1, 3)
    tail = whole.call("three").then(part.call(9))
    assert batch([part.call(1)], then=tail) == id
    assert count_of("tests.part") == 3, "a follower of the callback, too"


def test_it_waits_for_a_person_where_a_member_is_dead():
    id, (first, *rest) = three(on_dead=complaint.call("x"))
    succeed(*rest)
    die(first)
    look()
    assert not due(id)
    assert overview()[0].waits_for == "a person"
    operations.replay([first])
    transitions.stage_due(9)
    look()
    assert not due(id)
    succeed(first)
    look()
    assert due(id)


def test_a_member_that_is_cancelled_by_a_person_counts_as_one_that_gave_up():
    id, (first, *rest) = three(on_dead=complaint.call("x"))
    succeed(*rest)
    operations.cancel(ids=[first])
    look()
    assert (due(id), count_of("tests.complaint")) == (False, 1)
    operations.replay([first])
    transitions.stage_due(9)
    succeed(first)
    look()
    assert due(id)


def test_it_goes_on_without_the_dead_and_the_cancelled_if_that_is_said():
    id, (first, second, third) = three(if_dead="go on")
    die(first)
    operations.cancel(ids=[second])
    look()
    assert not due(id)
    succeed(third)
    look()
    assert due(id)
    assert results(id) == [None, None, 2]


def test_a_step_behind_a_dead_member_does_not_hold_up_those_who_go_on():
    id = batch([part.call(1).then(part.call(2), part.call(3)), part.call(4)], then=whole.call("x"), if_dead="go on")
    head, _, _, other = members(id)
    look()
    assert not due(id)
    die(head)
    look()
    assert not due(id)
    succeed(other)
    look()
    assert due(id)


def test_the_rest_is_cancelled_if_that_is_said():
    id, (first, second, third) = three(if_dead="cancel", on_dead=complaint.call("x"))
    running = transitions.claim(second, "two")
    die(first)
    look()
    assert [state(each) for each in (id, first, second, third)] == ["cancelled", "dead", "running", "cancelled"]
    assert count_of("tests.complaint") == 1
    transitions.succeed(running, 1)
    look()
    assert state(id) == "cancelled"
    operations.replay([first, third, id])
    transitions.stage_due(9)
    succeed(first, third)
    look()
    assert due(id)


@pytest.mark.parametrize("if_dead", ["wait", "go on", "cancel"])
def test_on_dead_is_enqueued_once_for_all_that_give_up(if_dead):
    _, (first, second, _) = three(on_dead=complaint.using(run_after=timedelta(minutes=1)).call("x"), if_dead=if_dead)
    die(first)
    look()
    operations.cancel(ids=[second])
    look()
    operations.replay([first])
    transitions.stage_due(9)
    die(first)
    look()
    assert count_of("tests.complaint") == 1


def test_a_cancelled_callback_ends_the_batch_and_a_replayed_one_waits_again():
    id, ids = three()
    operations.cancel(ids=[id])
    look()
    assert Batch.objects.get(id=id).ended_at
    with pytest.raises(ValueError, match="has ended"):
        batch([], then=whole.call("inner"), within=id)
    operations.replay([id])
    look()
    assert (state(id), due(id)) == ("waiting", False)
    succeed(*ids)
    look()
    assert due(id)


def test_a_nested_batch_is_a_member_of_the_outer_one():
    outer = batch([part.call(0)], then=whole.call("outer"))
    inner = batch([part.call(1)], then=whole.call("inner").then(part.call(2)), within=outer)
    succeed(members(outer)[0], *members(inner))
    look()
    assert (due(inner), due(outer)) == (True, False)
    transitions.stage_due(9)
    for message in transitions.succeed(transitions.claim(inner, "one"), None):
        assert not due(outer)
        succeed(message.id)
    look()
    assert due(outer)


def test_a_running_member_adds_others_to_its_batch():
    id = batch([growing.call(2)], then=whole.call("grown"))
    with pytest.raises(ValueError, match="no member of one"):
        grow([part.call(1)])
    ran = [job.task for job in testing.run_jobs()]
    assert ran == ["tests.growing", "tests.part", "tests.part", "tests.whole"]
    assert (overview(id=id)[0].total, state(id)) == (3, "succeeded")


def test_a_batch_that_has_ended_takes_no_more_members():
    id, ids = three()
    late = transitions.claim(ids[0], "frozen")
    operations.cancel(ids=[id])
    look()
    with progress.of_attempt(late), pytest.raises(ValueError, match="has ended"):
        grow([part.call(9)])
    assert count_of("tests.part") == 3


def test_a_job_with_a_members_key_joins():
    waiting, done, dead = (named_part.enqueue(n) for n in (1, 2, 3))
    succeed(done)
    id = batch([named_part.call(n) for n in (1, 2, 4, 4)], then=whole.call("joined"))
    assert (overview()[0].total, waiting in members(id), done in members(id)) == (2, True, False)
    die(dead)
    for name, call in ("other", named_part.call(3)), ("other", named_part.call(1)), ("own", whole.call("own")):
        with pytest.raises(ValueError, match="a member's key"):
            batch([call], then=whole.call(name))
    assert Batch.objects.count() == 1


def test_a_job_with_a_members_unique_name_joins_one_batch():
    id = batch([alone.call(1), alone.call(1)], then=whole.call("one"))
    assert overview(id=id)[0].total == 1
    with pytest.raises(ValueError, match="has a member's key or unique name, but is in another batch"):
        batch([alone.call(1)], then=whole.call("two"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"if_dead": "hope"}, "if_dead is one of"),
        ({"then": whole.using(run_after=timedelta(1)).call("x")}, "no time of its own"),
        ({"on_dead": complaint.call("x").then(complaint.call("y"))}, "without followers"),
        ({"then": alone.call(1)}, "can't be unique"),
        ({"on_dead": alone.call(1)}, "can't be unique"),
    ],
    ids=["rule", "time", "chain", "unique callback", "unique complaint"],
)
def test_what_a_batch_can_not_do_is_said(options, why):
    with pytest.raises(ValueError, match=why):
        batch([], **{"then": whole.call("x"), **options})


@pytest.mark.parametrize(
    ("enqueue", "why"),
    [
        (lambda: batch([], then=part), "a batch's then is a call"),
        (lambda: batch([], then=whole.call("x"), on_dead=part), "a batch's on_dead is a call"),
        (lambda: batch([1], then=whole.call("x")), "what is enqueued is a call"),
        (lambda: batch(part.call(1), then=whole.call("x")), "calls are an iterable"),
        (lambda: enqueue_many([part]), "what is enqueued is a call"),
        (lambda: enqueue_all(part), "what is enqueued is a call"),
        (lambda: part.call(1).then(part), "a follower is a call"),
    ],
    ids=["then", "on_dead", "member", "one call", "many", "all", "follower"],
)
def test_what_is_no_call_is_refused(enqueue, why):
    with pytest.raises(TypeError, match=why):
        enqueue()
    assert not Job.objects.exists()


@pytest.mark.parametrize("id", ["garbage", "0199b0aa-0000-7000-8000-000000000000", 7])
def test_a_batch_that_never_was_is_not_said_to_have_ended(id):
    with pytest.raises(ValueError, match="there is no batch"):
        batch([part.call(1)], then=whole.call("inner"), within=id)
    assert not Job.objects.exists()


def test_a_batch_that_waits_for_a_person_is_counted_rarely():
    waits, (first, *rest) = three()
    goes = batch([part.call(1)], then=whole.call("goes"))
    succeed(*rest)
    die(first)
    look()
    assert Batch.objects.get(id=waits).count_again_at - Batch.objects.get(id=goes).count_again_at > timedelta(seconds=4)


def test_members_are_kept_until_the_callback_is_purged():
    id, ids = three()
    succeed(*ids[:2])
    Job.objects.filter(id__in=ids).update(finished_at=Now() - timedelta(40))
    assert operations.purge(30) == 0
    operations.cancel(ids=[id])
    assert operations.purge(30) == 0, "a person may replay it"
    operations.replay([id])
    succeed(ids[2])
    look()
    transitions.stage_due(9)
    transitions.succeed(transitions.claim(id, "one"), None)
    Job.objects.update(finished_at=Now() - timedelta(40))
    assert [operations.purge(30), operations.purge(30)] == [1, 3]
    assert not Batch.objects.exists()


def ran() -> dict[str, object]:
    """The results of all jobs, by their tasks, once all have run."""
    return {job.task: job.result for job in testing.run_jobs()}


def test_a_chord_is_a_batch():
    id = chord([part.s(1), part.s(2)])(listed.s()).id
    assert (state(id), len(members(id))) == ("waiting", 2)
    assert ran()["tests.listed"] == [1, 2]
    (group(part.s(n) for n in range(3)) | tagged.s("x")).delay()
    assert ran()["tests.tagged"] == ["x", 0, 1, 2]
    chain(group([part.s(4), part.s(5)]), listed.s(), tagged.s("y")).delay()
    assert ran() == {"tests.part": 5, "tests.listed": [4, 5], "tests.tagged": ["y", 4, 5]}


def test_a_chords_member_may_be_a_chain_and_its_body_may_do_without_results():
    chord([part.s(1) | part.s(), part.s(2)], listed.s()).delay()
    assert ran()["tests.listed"] == [1, 2]
    chord([part.s(1)] * 2, whole.si("immutable")).apply_async(countdown=60)
    assert ran() == {}
    testing.advance(timedelta(minutes=1))
    assert ran() == {"tests.part": 1, "tests.whole": None}
    chord([], listed.s()).delay()
    assert ran() == {"tests.listed": []}


@pytest.mark.parametrize(
    "canvas",
    [
        lambda: part.s(1) | group(part.s(), part.s()) | listed.s(),
        lambda: chain(part.s(1), group(part.s(), part.s())),
        lambda: group(part.s(1), part.s(2)) | group(part.s(), part.s()),
        lambda: chord([chord([part.s(1)], listed.s())], listed.s()),
        lambda: chord([part.s(1)], listed.s(), link=part.s(1)),
        lambda: chord([part.s(1)], listed.s() | group(part.s(), part.s())),
    ],
    ids=["inside a chain", "behind a task", "behind a group", "chord in a header", "link", "behind the body"],
)
def test_what_a_batch_can_not_have_is_refused_by_name(canvas):
    with pytest.raises(TypeError, match=r"live in a message|can't be a member|no option link"):
        canvas().delay()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda: (part.s(1) | named_part.s()).delay(),
        lambda: chord([part.s(1)], whole.s()).delay(),
        lambda: alone.using(takes_result="number").call(),
        lambda: ordered.using(takes_result="number").call(),
    ],
    ids=["chain", "chord", "unique", "lane"],
)
def test_no_name_is_made_of_a_result_that_is_yet_to_come(call):
    with pytest.raises(TypeError, match="gets a result later"):
        call()
    assert not Job.objects.exists()


def test_a_name_of_the_other_arguments_or_one_that_is_given_needs_no_result():
    assert tagged.using(takes_result="numbers").call(tag="a").args == {"numbers": None, "tag": "a"}
    assert named_part.using(takes_result="number", key="part of the day").call().key == "part of the day"


def test_a_result_of_any_size_is_handed_over():
    """Of many members: the list is not stored, so the limit of a job's arguments does not count."""
    id = batch([part.call(n) for n in range(2000)], then=listed.using(takes_result="numbers").call())
    Job.objects.filter(batch_id=id).update(state="succeeded", result=1234567)
    look()
    transitions.stage_due(9)
    claimed = execution._claim(id, "tests.listed")
    assert claimed.args == {"numbers": [1234567] * 2000}
    assert Job.objects.get(id=id).args == {"numbers": None}
