"""A name that one job holds at a time, and what becomes of another call with it."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery import chain
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from backroom import Duplicate, batch, enqueue_all, enqueue_many, task
from backroom.ledger import operations, rescue, sql, transitions
from backroom.ledger.models import Batch, Job, Unique
from backroom.observe import progress
from backroom.runtime import names
from backroom.runtime.dispatcher import Dispatcher
from backroom.runtime.lane import Lane

MINUTE = timedelta(minutes=1)


@task(name="tests.reindex", unique=("reindex:{id}", "while waiting"))
def reindex(id: int, note: str = "") -> None:
    pass


@task(name="tests.debounced", unique=("debounced:{id}", "while waiting"), duplicate="replace")
def debounced(id: int, note: str = "") -> None:
    pass


@task(name="tests.narrow", unique=("narrow:{id}", "while waiting"), limit=("narrow:{id}", 1))
def narrow(id: int) -> None:
    pass


@task(name="tests.refused", unique=("refused:{id}", "while live"), duplicate="refuse")
def refused(id: int) -> None:
    pass


@task(name="tests.live", unique=("live:{id}", "while live"))
def live(id: int) -> None:
    pass


@task(name="tests.hourly", unique=("hourly:{id}", timedelta(hours=1)))
def hourly(id: int) -> None:
    pass


@task(name="tests.plain_beside_unique")
def plain(id: int = 0) -> None:
    pass


def begin(id: str) -> sql.Claimed:
    claimed = transitions.claim(id, "a")
    assert claimed
    return claimed


def fail(id: str) -> None:
    transitions.mark_dead(begin(id), "x")


@pytest.mark.django_db
class TestAName:
    def test_is_held_until_its_job_begins(self):
        first = reindex.enqueue(1)
        assert reindex.enqueue(1) == first
        assert reindex.enqueue(2) != first
        transitions.defer(begin(first), 60, "again")  # it has begun, and read what was there then
        second = reindex.enqueue(1)
        assert second != first
        assert reindex.enqueue(1) == second
        assert Job.objects.count() == 3

    def test_is_held_while_its_job_lives(self):
        first = live.enqueue(1)
        claimed = begin(first)
        assert live.enqueue(1) == first
        transitions.defer(claimed, 60, "again")
        assert live.enqueue(1) == first
        operations.cancel(ids=[first])
        assert live.enqueue(1) != first

    def test_is_held_for_a_time_also_after_its_job_succeeded_and_is_purged(self):
        first = hourly.enqueue(1)
        transitions.succeed(begin(first), None)
        assert hourly.enqueue(1) == first
        Job.objects.all().delete()
        assert names.purge_names() == 0
        assert hourly.enqueue(1) == first
        Unique.objects.update(until=F("until") - timedelta(hours=1))
        second = hourly.enqueue(1)
        assert second != first
        assert hourly.enqueue(1) == second

    @pytest.mark.parametrize("end", [fail, lambda id: operations.cancel(ids=[id])], ids=["dead", "cancelled"])
    @pytest.mark.parametrize("one", [reindex, live, hourly], ids=["waiting", "live", "hourly"])
    def test_is_free_once_its_job_gave_up(self, one, end):
        first = one.enqueue(1)
        end(first)
        assert one.enqueue(1) != first

    def test_of_a_rolled_back_job_is_free(self):
        with transaction.atomic():
            first = reindex.enqueue(1)
            transaction.set_rollback(True)
        second = reindex.enqueue(1)
        assert first != second
        assert [str(job.id) for job in Job.objects.all()] == [second]

    def test_is_given_at_the_call(self):
        first = plain.using(unique=("one", "while live")).enqueue(1)
        assert plain.using(unique=("one", "while live")).enqueue(2) == first
        with pytest.raises(Duplicate, match="has the name 'one'") as raised:
            plain.using(unique=("one", "while live"), duplicate="refuse").enqueue(2)
        assert raised.value.job_id == first
        assert plain.enqueue(2) != first

    def test_cancels_the_waiting_job_that_has_it(self):
        first, other = reindex.enqueue(1), reindex.enqueue(2)
        assert operations.cancel(names=["reindex:1", "reindex:3"]) == [first]
        assert Job.objects.get(pk=other).state == "ready"
        second = reindex.enqueue(1)
        begin(second)
        assert operations.cancel(names=["reindex:1"]) == []

    def test_is_purged_with_its_job(self):
        reindex.enqueue(1)
        assert names.purge_names() == 0
        Job.objects.all().delete()
        assert names.purge_names() == 1


@pytest.mark.django_db
class TestADuplicate:
    def test_of_the_same_call_is_dropped(self):
        ids = enqueue_all(reindex.call(1), plain.call(), reindex.call(1))
        assert ids[0] == ids[2]
        assert Job.objects.count() == 2
        assert enqueue_many(reindex.call(number) for number in (1, 2, 2, 3)) == 4
        assert Job.objects.filter(task="tests.reindex").count() == 3

    def test_replaces_the_arguments_of_a_published_one_which_keeps_its_place_in_the_queue(self):
        first = debounced.enqueue(1, "old")
        published_at = Job.objects.get().published_at
        assert debounced.enqueue(1, "new") == first
        assert begin(first).args == {"id": 1, "note": "new"}
        assert Job.objects.get().published_at == published_at

    def test_moves_the_time(self):
        first = debounced.enqueue(1, "old")
        for note in "newer", "newest":
            later = debounced.using(run_after=MINUTE, expires=2 * MINUTE)
            assert later.enqueue(1, note) == first
        assert transitions.claim(first, "a") is None
        job = Job.objects.get()
        assert job.run_at - job.created_at > 0.9 * MINUTE
        assert job.expires_at - job.run_at > 0.9 * MINUTE
        assert debounced.enqueue(1, "now") == first
        assert [message.args["note"] for message in transitions.stage_due(9)] == ["now"]

    def test_of_several_the_last_replaces(self):
        ids = enqueue_all(*(debounced.call(1, note) for note in "abc"))
        assert len(set(ids)) == 1
        assert enqueue_all(*(debounced.call(1, note) for note in "def")) == ids
        assert Job.objects.get().args["note"] == "f"

    def test_does_not_replace_what_has_begun(self):
        first = debounced.enqueue(1, "old")
        begin(first)
        assert debounced.enqueue(1, "new") != first
        assert Job.objects.get(id=first).args["note"] == "old"

    def test_does_not_replace_a_job_of_another_task(self):
        plain.using(unique=("debounced:1", "while waiting")).enqueue(1)
        with pytest.raises(Duplicate):
            debounced.enqueue(1)
        assert Job.objects.get().args == {"id": 1}

    def test_does_not_replace_a_job_of_another_lane(self):
        other = task(
            name="tests.debounced_lane", unique=("x", "while waiting"), duplicate="replace", limit=("l:{id}", 1)
        )
        in_lane = other(debounced.run)
        assert in_lane.enqueue(1, "old") == in_lane.enqueue(1, "new")
        with pytest.raises(Duplicate):
            in_lane.enqueue(2)
        assert Job.objects.get(task=in_lane.name).args == {"id": 1, "note": "new"}

    def test_is_refused_and_leaves_the_callers_transaction_as_it_was(self):
        with transaction.atomic():
            refused.enqueue(1)
            with pytest.raises(Duplicate):
                enqueue_all(plain.call(), refused.call(2), refused.call(1))
            with pytest.raises(Duplicate):
                enqueue_all(refused.call(3), refused.call(3))
            plain.enqueue()
        assert list(Job.objects.order_by("id").values_list("task", flat=True)) == ["tests.refused", plain.name]
        refused.enqueue(2)

    def test_is_not_lost_with_a_holder_that_expires_sooner(self):
        soon = reindex.using(expires=MINUTE)
        first = soon.enqueue(1)
        Job.objects.update(expires_at=F("expires_at") - 2 * MINUTE)  # and no process has seen that yet
        assert soon.enqueue(1) == first
        assert Job.objects.get().expires_at > Job.objects.get().created_at
        assert reindex.enqueue(1) == first
        assert Job.objects.get().expires_at is None
        assert soon.enqueue(1) == first
        begin(first)

    def test_is_followed_by_what_was_to_follow_it(self):
        first = reindex.enqueue(1)
        assert enqueue_all(reindex.call(1).then(plain.call(7))) == [first]
        follower = Job.objects.get(task=plain.name)
        assert str(follower.after_id) == first
        freed = transitions.succeed(begin(first), None)
        assert [message.id for message in freed] == [str(follower.id)]

    def test_of_the_job_that_enqueues_it_is_an_error(self):
        claimed = begin(live.enqueue(1))
        with progress.of_attempt(claimed), pytest.raises(ValueError, match="enqueue itself"):
            live.enqueue(1)

    def test_is_a_member_of_a_batch(self):
        first = reindex.enqueue(1)
        id = batch([reindex.call(1), reindex.call(2), reindex.call(2), plain.call()], then=plain.call())
        assert Batch.objects.get(id=id).total == 3
        assert str(Job.objects.get(id=first).batch_id) == id

    def test_by_celerys_spelling_is_dropped(self):
        first = reindex.delay(1).id
        assert reindex.apply_async((1,), countdown=60).id == first
        assert chain(reindex.s(1), plain.si(2))().parent.id
        assert Job.objects.filter(task="tests.reindex").count() == 1


@pytest.mark.django_db
def test_a_plain_job_asks_no_names(django_assert_num_queries):
    with django_assert_num_queries(1):
        plain.enqueue()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unique": "reindex"}, "unique is"),
        ({"unique": ("reindex", "for ever")}, "unique is"),
        ({"unique": ("reindex", "for a time")}, "unique is"),
        ({"unique": ("", "while live")}, "unique is"),
        ({"unique": ("reindex", timedelta(0))}, "unique is"),
        ({"unique": (1, "while live")}, "unique is"),
        ({"unique": ("reindex", "while live"), "duplicate": "ignore"}, "duplicate is drop, replace or refuse"),
        ({"unique": ("reindex", "while live"), "duplicate": "replace"}, "can't be replaced"),
        ({"unique": ("reindex", MINUTE), "duplicate": "replace"}, "can't be replaced"),
        ({"duplicate": "drop"}, "belongs to unique"),
        ({"unique": ("reindex", "while live"), "key": "x"}, "give key or unique"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_declared(options, words):
    with pytest.raises(TypeError, match=words):
        task(name="tests.never", **options)
    with pytest.raises(TypeError, match=words):
        plain.using(**options).call()


@pytest.mark.django_db
def test_a_name_that_can_not_be_is_refused_at_the_call():
    with pytest.raises(ValueError, match="unique name is over 200 characters"):
        plain.using(unique=("x" * 201, "while live")).enqueue()
    with pytest.raises(ValueError, match="a key is unique for ever"):
        reindex.using(key="x").enqueue(1)
    with pytest.raises(ValueError, match="can't follow"):
        plain.call().then(reindex.call(1))
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["a\0b", "a\udc00b", "x" * 221], ids=["NUL", "surrogate", "length"])
def test_no_name_is_one_that_the_table_can_not_keep(name):
    for call in (
        plain.using(key=name).call(),
        plain.using(unique=(name, "while live")).call(),
        replace(plain.call(), lane=Lane(name, 1)),
    ):
        with pytest.raises(ValueError, match=r"^tests.plain_beside_unique: its .*(NUL|surrogate|characters long)"):
            call.check()
    with pytest.raises(TypeError, match="its key is text"):
        plain.using(key=7).call().check()


@pytest.fixture
def elsewhere(transactional_db) -> Iterator[ThreadPoolExecutor]:
    """One thread with a connection of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(lambda: connection.close()).result()


def waits_for_us(work: Future) -> bool:
    """Whether the other thread's statement waits for a lock of this transaction, rather than ends."""
    while not work.done():
        if sql.rows("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"):
            return True
        wait([work], timeout=0.01)
    return False


def test_the_claim_of_a_holder_waits_for_the_commit_of_a_dropped_newcomer(elsewhere):
    first = reindex.enqueue(1)
    with transaction.atomic():
        assert reindex.enqueue(1) == first
        claim = elsewhere.submit(transitions.claim, first, "a")
        assert waits_for_us(claim)
    assert claim.result().id == first


def test_a_dispatcher_never_waits_for_a_callers_open_transaction(elsewhere):
    """Neither for a duplicate's lock on the job that holds its name, nor for one on a follower or a batch's member."""
    other = enqueue_all(narrow.call(2), plain.using(run_after=timedelta()).call())
    first, lost = narrow.enqueue(1), reindex.enqueue(1)
    late = reindex.using(expires=MINUTE).enqueue(2)
    parent, orphan = (enqueue_all(plain.call().then(plain.call()))[0] for _ in range(2))
    begin(parent)
    Job.objects.filter(id=parent).update(state="succeeded")
    Job.objects.filter(id=orphan).delete()
    Job.objects.filter(id=late).update(expires_at=F("created_at") - MINUTE)
    id = batch([reindex.call(3), plain.call()], then=plain.call(), if_dead="cancel")
    fail(str(Job.objects.get(batch_id=id, task=plain.name).id))
    with transaction.atomic():
        assert (narrow.enqueue(1), reindex.enqueue(1), reindex.using(expires=MINUTE).enqueue(2)) == (first, lost, late)
        reindex.enqueue(3)
        list(Job.objects.select_for_update(no_key=True).filter(after_id__in=[parent, orphan]))
        for work in [
            elsewhere.submit(Dispatcher().publish_due),
            elsewhere.submit(transitions.requeue_ready, [lost]),
            elsewhere.submit(transitions.defer_unknown, [lost], "x", 60),
            elsewhere.submit(operations.expire, [late]),
            elsewhere.submit(rescue.release_followers),
            elsewhere.submit(rescue.mark_orphans_dead),
        ]:
            assert not waits_for_us(work)
            assert not work.result()
        assert set(Job.objects.filter(id__in=other).values_list("state", flat=True)) == {"ready"}
        assert Batch.objects.get(id=id).ended_at is None
    Batch.objects.update(count_again_at=Now())
    Dispatcher().publish_due()
    assert not Job.objects.filter(Q(id=first, state="waiting") | Q(batch_id=id, state="ready")).exists()
    assert rescue.release_followers()
    assert rescue.mark_orphans_dead()


def test_a_cancel_reaches_a_running_job_whose_attempt_ends_at_this_moment(elsewhere):
    claimed = begin(plain.enqueue())
    with transaction.atomic():
        transitions.defer(claimed, 60, "again")
        cancel = elsewhere.submit(lambda: operations.cancel(ids=[claimed.id], running=True))
        assert waits_for_us(cancel)
    assert cancel.result() == [claimed.id]
    assert Job.objects.get().state == "cancelled"


def test_a_newcomer_waits_for_the_claim_of_the_holder_and_is_enqueued(elsewhere):
    first = reindex.enqueue(1)
    with transaction.atomic():
        begin(first)
        newcomer = elsewhere.submit(reindex.enqueue, 1)
        assert waits_for_us(newcomer)
    assert newcomer.result() != first


def test_a_dropped_newcomer_of_a_running_job_does_not_hold_up_its_finish(elsewhere):
    claimed = begin(live.enqueue(1))
    with transaction.atomic():
        assert live.enqueue(1) == claimed.id
        assert elsewhere.submit(transitions.succeed, claimed, None).result(60) == []


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
def test_of_two_newcomers_at_once_the_second_waits_for_the_first(elsewhere, commits):
    with transaction.atomic():
        first = reindex.enqueue(1)
        second = elsewhere.submit(reindex.enqueue, 1)
        assert waits_for_us(second)
        transaction.set_rollback(not commits)
    assert (second.result() == first) is commits
    assert Job.objects.count() == 1


def test_two_with_the_same_names_in_another_order_do_not_wait_for_each_other(elsewhere):
    def enqueue(numbers: Any) -> list[str]:
        return enqueue_all(*(reindex.call(number) for number in numbers))

    with transaction.atomic():
        first = enqueue(range(9))
        second = elsewhere.submit(enqueue, reversed(range(9)))
        assert waits_for_us(second)
        assert enqueue(range(9)) == first
    assert second.result() == first[::-1]


def test_a_name_is_not_purged_while_a_newcomer_takes_it(elsewhere):
    reindex.enqueue(1)
    Job.objects.all().delete()
    with transaction.atomic():
        reindex.enqueue(1)
        assert elsewhere.submit(names.purge_names).result() == 0
    assert Unique.objects.count() == 1
