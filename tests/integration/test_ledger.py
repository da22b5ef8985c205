"""The ledger's statements, one by one, on a real PostgreSQL."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from backroom import Permanent, Retry, task
from backroom.ledger import operations, rescue, sql, transitions
from backroom.ledger.errors import Superseded
from backroom.ledger.limits import DEPTH, RESULT_DEPTH
from backroom.ledger.models import Heartbeat, Job
from backroom.runtime import dispatcher
from backroom.runtime.call import Call, new_id
from backroom.runtime.dispatcher import Dispatcher
from backroom.runtime.enqueue import SLICE, enqueue_all, enqueue_many
from backroom.runtime.lost_children import LostChildren
from backroom.runtime.pulse import requeue_unfinished
from tests.integration.heartbeats import worker_beats
from tests.waiting import until

pytestmark = pytest.mark.django_db


@task(name="tests.note", key="note:{number}", retry=Retry(attempts=2))
def note(number: object) -> object:
    return number


@task(name="tests.once", key="once:{number}", retry=Retry(attempts=1))
def once(number: int) -> None:
    """It has a single attempt."""


@task(name="tests.add")
def add(left: int, right: int) -> int:
    return left + right


@task(name="tests.typed")
def typed(
    what: dict[str, float] | str | None,
    several: list[int] | None = None,
    share: float = 0.5,
    late: int = None,  # noqa: RUF013 - as was usual once
) -> None:
    """Its annotations say what they take."""


def state(id: str) -> str:
    return Job.objects.get(id=id).state


def test_a_rollback_leaves_no_job():
    with transaction.atomic():
        note.enqueue(1)
        transaction.set_rollback(True)
    assert not Job.objects.exists()


def test_any_number_of_calls_is_written_as_it_is_read_and_published_by_a_dispatcher():
    ahead = []

    def calls() -> Iterator[Call]:
        for number in range(2 * SLICE + 1):
            if number % 100 == 0:
                ahead.append(number - Job.objects.count())
            yield note.call(number)

    assert enqueue_many(calls()) == 2 * SLICE + 1
    assert max(ahead) < SLICE
    assert len({job.run_at for job in Job.objects.all()}) == 3  # others that become due meanwhile are not behind all

    def published() -> bool:
        transitions.stage_due(3 * SLICE)
        return Job.objects.filter(state="ready").count() == 2 * SLICE + 1

    until(published)


def test_of_many_calls_all_are_enqueued_or_none():
    with transaction.atomic():
        with pytest.raises(ValueError, match="no queue"):
            enqueue_many(
                note.using(queue_name="lost" if number == SLICE else None).call(number) for number in range(SLICE + 1)
            )
        id = note.enqueue(1)  # the caller's transaction is as before
    assert [str(job.id) for job in Job.objects.all()] == [id]


def test_a_key_names_one_job():
    first = note.enqueue(1)
    assert note.enqueue(1) == first
    assert Job.objects.count() == 1


def test_a_job_is_claimed_once():
    id = note.enqueue(1)
    assert transitions.claim(id, "a") is not None
    assert transitions.claim(id, "b") is None


def test_a_second_delivery_of_a_finished_job_does_nothing():
    id = note.enqueue(1)
    transitions.succeed(transitions.claim(id, "a"), 1)
    assert transitions.claim(id, "a") is None
    assert Job.objects.get(id=id).claims == 1


def test_a_late_finish_changes_nothing():
    id = note.enqueue(1)
    late = transitions.claim(id, "frozen")
    age(id)
    rescue.requeue_abandoned()  # it has never said that it lives
    rescued = transitions.stage_due(10)
    assert [message.id for message in rescued] == [id]
    current = transitions.claim(id, "alive")
    for finish in (
        lambda: transitions.succeed(late, "late"),
        lambda: transitions.mark_dead(late, "late"),
        lambda: transitions.defer(late, 1, "late", True),
    ):
        with pytest.raises(Superseded):
            finish()
    transitions.succeed(current, "in time")
    assert Job.objects.get(id=id).result == "in time"


def test_a_waiting_job_can_not_be_claimed_before_it_is_due():
    id = note.using(run_after=timedelta(minutes=1)).enqueue(1)
    assert transitions.claim(id, "a") is None
    assert transitions.stage_due(10) == []
    assert operations.reschedule("note:1")
    assert [message.id for message in transitions.stage_due(10)] == [id]


def test_what_is_rescheduled_while_it_runs_does_not_sleep_through_it():
    note.enqueue(1)
    first = transitions.claim(str(Job.objects.get(key="note:1").id), "a")
    transitions.defer(first, 3600, "not yet", uses_attempt=False)
    assert transitions.stage_due(10) == []
    operations.reschedule("note:1")
    transitions.stage_due(10)
    running = transitions.claim(first.id, "a")
    operations.reschedule("note:1")  # it has read what changed
    transitions.defer(running, 3600, "not yet", uses_attempt=False)
    assert [message.id for message in transitions.stage_due(10)] == [first.id]
    transitions.defer(transitions.claim(first.id, "a"), 3600, "not yet", uses_attempt=False)
    assert transitions.stage_due(10) == []


def test_a_follower_is_released_by_the_finish_before_it_and_gets_the_result():
    head = enqueue_all(add.call(1, 2).then(note.call(3)))[0]
    follower = Job.objects.get(key="note:3")
    assert follower.state == "waiting"
    assert transitions.claim(str(follower.id), "a") is None
    freed = transitions.succeed(transitions.claim(head, "a"), 3)
    assert [message.id for message in freed] == [str(follower.id)]
    assert state(follower.id) == "ready"


def test_celerys_on_commit_spellings_enqueue_in_the_transaction():
    with transaction.atomic():
        note.delay_on_commit(1)
        transaction.set_rollback(True)
    note.delay_on_commit(2)
    note.apply_async_on_commit((3,), countdown=60)
    assert [(job.key, job.state) for job in Job.objects.order_by("key")] == [("note:2", "ready"), ("note:3", "waiting")]


def test_celery_chain_passes_the_result_on():
    (add.s(1, 2) | add.s(10)).apply_async()
    head, tail = Job.objects.get(after_id=None), Job.objects.exclude(after_id=None).get()
    (message,) = transitions.succeed(transitions.claim(str(head.id), "a"), 3)
    assert message.id == str(tail.id)
    assert message.args == {"left": 3, "right": 10}


def test_a_follower_enqueued_behind_a_job_that_has_finished_is_released():
    transitions.succeed(transitions.claim(note.enqueue(1), "a"), 1)
    enqueue_all(note.call(1).then(add.call(1, 2)))
    assert rescue.release_followers() == [str(Job.objects.get(task="tests.add").id)]


def test_jobs_of_a_silent_worker_are_given_back_and_those_of_a_live_one_are_not():
    dead, alive = note.enqueue(1), note.enqueue(2)
    worker_beats("alive", "default", [])
    transitions.claim(dead, "dead")
    transitions.claim(alive, "alive")
    age(dead, alive)
    assert rescue.requeue_abandoned() == [dead]
    assert state(alive) == "running"


def test_a_job_that_kills_its_workers_is_dead_after_its_attempts():
    id = note.enqueue(1)
    for outcome in ("waiting", "dead"):
        if outcome == "dead":
            Job.objects.filter(id=id).update(state="ready")
        transitions.claim(id, "doomed")
        age(id)
        rescue.requeue_abandoned()
        assert state(id) == outcome


def test_a_dead_childs_job_is_requeued_at_once_but_not_one_that_another_child_has_claimed_since():
    dead, again, last = note.enqueue(1), note.enqueue(2), once.enqueue(3)
    for id in (dead, again, last):
        transitions.claim(id, "worker")
    lost = LostChildren()
    lost.ids = [dead, again, last]
    lost.requeue("worker", lambda: [again])
    assert [state(dead), state(again), state(last)] == ["waiting", "running", "dead"]
    assert lost.ids == []


def test_a_worker_requeues_jobs_that_it_is_not_running():
    id = note.enqueue(1)
    transitions.claim(id, "worker")
    assert worker_beats("worker", "default", []) == []  # just claimed: the worker may not know it yet
    Job.objects.update(started_at="2020-01-01T00:00Z")
    assert worker_beats("worker", "default", [id]) == []
    assert worker_beats("worker", "default", []) == [id]
    assert Heartbeat.objects.filter(role="worker").count() == 1


def test_a_message_older_than_the_oldest_in_the_broker_is_lost():
    old, new = note.enqueue(1), note.enqueue(2)
    Job.objects.filter(id=old).update(published_at="2020-01-01T00:00Z")
    oldest = Job.objects.get(id=new).published_at.timestamp()
    assert rescue.lost_messages("bulk", oldest) == []
    assert rescue.lost_messages("default", 0) == []
    assert transitions.requeue_ready(rescue.lost_messages("default", oldest)) == [old]
    Job.objects.filter(id=new).update(published_at="2020-01-01T00:00Z")
    assert rescue.lost_messages("default", None) == [new]


def test_replaying_twice_is_once_and_gives_all_attempts_again():
    id = note.enqueue(1)
    transitions.mark_dead(transitions.claim(id, "a"), "gave up")
    assert operations.replay([id]) == [id]
    assert operations.replay([id]) == []
    assert Job.objects.get(id=id).attempts == 0


def test_cancelling_includes_the_followers_but_no_running_job():
    enqueue_all(add.call(1, 2).then(note.call(3)))
    running = note.enqueue(4)
    transitions.claim(running, "a")
    head = str(Job.objects.get(task="tests.add").id)
    assert len(operations.cancel(ids=[head, running], dead=True, why="not needed")) == 2
    assert state(running) == "running"


def test_two_reruns_of_one_claim_run_a_succeeded_job_once_more():
    id = note.enqueue(1)
    transitions.succeed(transitions.claim(id, "a"), 1)
    assert operations.rerun(id, 1, "no effect")
    assert not operations.rerun(id, 1, "no effect")
    transitions.stage_due(9)
    transitions.succeed(transitions.claim(id, "a"), 1)
    assert not operations.rerun(id, 1, "no effect"), "it was done meanwhile"
    assert state(id) == "succeeded"


def test_a_job_behind_a_deleted_one_is_freed_and_one_behind_another_is_not():
    head = enqueue_all(note.call(1).then(note.call(2)))[0]
    follower = str(Job.objects.get(key="note:2").id)
    assert not operations.relink(follower, None)
    Job.objects.filter(id=head).delete()
    assert operations.relink(follower, None)
    assert [message.id for message in transitions.stage_due(9)] == [follower]
    assert not operations.relink(follower, None)


def test_purge_keeps_dead_letters_and_what_is_fresh():
    done, dead, fresh = note.enqueue(1), note.enqueue(2), note.enqueue(3)
    transitions.succeed(transitions.claim(done, "a"), None)
    transitions.mark_dead(transitions.claim(dead, "a"), "gave up")
    transitions.succeed(transitions.claim(fresh, "a"), None)
    Job.objects.exclude(id=fresh).update(finished_at="2020-01-01T00:00Z")
    assert operations.purge(30) == 1
    assert set(Job.objects.values_list("key", flat=True)) == {"note:2", "note:3"}


def nested(levels: int) -> object:
    """An empty list inside `levels` lists and objects."""
    value: object = []
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize(
    "number",
    [object(), float("nan"), "x" * 9000, "\0", "a\\\0", "\ud800", nested(DEPTH), nested(988), nested(3000)],
)
def test_arguments_that_are_not_small_json_are_refused_before_the_database_is_asked(number):
    with pytest.raises((TypeError, ValueError)):
        note.enqueue(number)
    assert note.enqueue("a\\u0000")


def test_a_key_that_does_not_fit_its_column_is_refused_before_the_database_is_asked():
    with pytest.raises(ValueError, match="over 200 characters"):
        note.enqueue("x" * 196)
    assert note.enqueue("x" * 195)


def test_the_table_refuses_json_that_is_nested_too_deep_for_any_reader():
    id = note.enqueue(nested(DEPTH - 1))
    for column, levels in ("args", DEPTH), ("result", RESULT_DEPTH):
        change = f"UPDATE backroom_job SET {column} = %s WHERE id = %s RETURNING id"  # noqa: S608
        for depth in levels + 1, 988:
            with pytest.raises(IntegrityError, match=f"backroom_{column}_readable"), transaction.atomic():
                sql.rows(change, "[" * depth + "1" + "]" * depth, id)
        assert sql.rows(change, "[" * levels + "1" + "]" * levels, id)


def test_a_result_of_the_greatest_depth_is_handed_to_the_follower():
    head = enqueue_all(add.call(1, 2).then(replace(note.call(None), takes_result="number")))[0]
    transitions.succeed(transitions.claim(head, "a"), nested(RESULT_DEPTH))
    assert Job.objects.get(after_id=head).args == {"number": nested(RESULT_DEPTH)}


@pytest.mark.parametrize("id", ["garbage", "0199B0AA-0000-7000-8000-000000000000"])
def test_an_id_that_is_no_uuid_as_the_ledger_writes_it_is_refused(id):
    with pytest.raises(ValueError, match="its id is a UUID"):
        add.apply_async((1, 2), task_id=id)
    assert not Job.objects.exists()


def test_arguments_that_do_not_fit_the_task_are_refused_at_once():
    with pytest.raises(TypeError):
        note.enqueue(1, 2)


@pytest.mark.parametrize(
    ("value", "good"), [({"a": 1}, True), ("x", True), (None, True), (1, False), ([1], False), (True, False)]
)
def test_a_value_of_another_json_type_than_its_annotation_is_refused_at_once(value, good):
    if good:
        assert typed.enqueue(value)
    else:
        with pytest.raises(TypeError, match=r"tests.typed takes what: dict\[str, float\] \| str \| None, not "):
            typed.enqueue(value)


def test_a_tuple_a_whole_number_and_a_default_fit_their_annotation():
    typed.enqueue("x", (1, 2), 1, None)
    assert Job.objects.get().args == {"what": "x", "several": [1, 2], "share": 1, "late": None}
    with pytest.raises(TypeError, match='takes share: float, not "1"'):
        typed.enqueue("x", share="1")


@pytest.mark.parametrize("options", [{"link_error": [1]}, {"link": [1]}, {"chord": 1}])
def test_celery_options_that_the_ledger_can_not_honour_are_refused(options):
    with pytest.raises(TypeError, match="jobs have no option"):
        note.apply_async((1,), **options)


def test_a_result_that_is_no_json_can_not_be_cured_by_trying_again():
    claimed = transitions.claim(note.enqueue(1), "a")
    with pytest.raises(Permanent):
        transitions.succeed(claimed, object())
    assert state(claimed.id) == "running"


def test_a_time_that_is_none_is_refused_not_taken_for_now():
    for moment in (3600, "2030-01-01T00:00:00Z", datetime(2030, 1, 1)):
        with pytest.raises((TypeError, ValueError)):
            note.using(run_after=moment).enqueue(1)
    for option in "countdown", "expires":
        for seconds in math.inf, math.nan, 1e15, "3600":
            with pytest.raises((TypeError, ValueError), match=f"^{note.name}: "):
                note.apply_async((1,), **{option: seconds})


def test_a_time_that_python_could_not_read_back_is_refused():
    id = note.using(run_after=timedelta(days=9)).enqueue(1)
    for when in "infinity", "-infinity", "20000-01-01", "0001-01-01 BC":
        with pytest.raises(IntegrityError, match="backroom_run_at_readable"), transaction.atomic():
            sql.rows("UPDATE backroom_job SET run_at = %s WHERE id = %s RETURNING id", when, id)
    for run_after in timedelta.max, timedelta.min, timedelta(days=3_000_000), datetime.max.replace(tzinfo=UTC):
        with pytest.raises(ValueError, match="beyond the years"):
            note.using(run_after=run_after).enqueue(2)
    last = note.using(run_after=sql.READABLE[1]).enqueue(3)
    assert Job.objects.get(id=last).run_at == sql.READABLE[1]


@pytest.mark.parametrize("seconds", [1e15, math.inf, math.nan])
def test_a_task_that_asks_to_wait_for_ages_waits_for_years(seconds):
    claimed = transitions.claim(note.enqueue(1), "a")
    transitions.defer(claimed, seconds, "later", uses_attempt=True)
    waits = Job.objects.get(id=claimed.id).run_at - datetime.now(UTC)
    assert timedelta(days=11_000) < waits < timedelta(days=12_000)


def test_a_queue_without_a_worker_is_refused():
    with pytest.raises(ValueError, match="no queue 'typo'"):
        note.using(queue_name="typo").enqueue(1)


def test_one_row_with_an_unknown_queue_holds_up_nobody():
    good, bad = note.enqueue(1), note.enqueue(2)
    transitions.requeue_ready([good, bad])
    Job.objects.filter(id=bad).update(queue="removed")
    Dispatcher().publish_due()
    assert (state(good), state(bad)) == ("ready", "waiting")
    assert "queue" in Job.objects.get(id=bad).error


def test_a_job_whose_task_nobody_knows_is_handed_on_during_a_deploy_and_then_a_dead_letter(settings):
    id = once.enqueue(1)  # it has one attempt, which an old worker must not spend
    for seconds in (0, 30, settings.BACKROOM_DEPLOY_WINDOW - 31):
        Job.objects.update(state="ready", unknown_since=F("unknown_since") - timedelta(seconds=seconds))
        transitions.defer_unknown([id], "no task is named tests.once", settings.BACKROOM_DEPLOY_WINDOW)
        assert (state(id), Job.objects.get(id=id).attempts) == ("waiting", 0)
    Job.objects.update(state="ready", unknown_since=F("unknown_since") - timedelta(seconds=2))
    transitions.defer_unknown([id], "no task is named tests.once", settings.BACKROOM_DEPLOY_WINDOW)
    assert (state(id), Job.objects.get(id=id).error) == ("dead", "no task is named tests.once")
    operations.replay([id])
    Job.objects.update(state="ready")
    transitions.defer_unknown([id], "no task is named tests.once", settings.BACKROOM_DEPLOY_WINDOW)
    assert state(id) == "waiting"  # a replay begins another deploy


def test_a_job_that_was_once_refused_and_then_ran_has_the_whole_of_the_next_deploy(settings):
    id = note.enqueue(1)
    transitions.defer_unknown([id], "no task is named tests.note", settings.BACKROOM_DEPLOY_WINDOW)
    Job.objects.update(
        state="ready", unknown_since=F("unknown_since") - timedelta(seconds=settings.BACKROOM_DEPLOY_WINDOW + 1)
    )
    transitions.defer(transitions.claim(id, "new"), 0, "OSError: x", uses_attempt=True)
    Job.objects.update(state="ready")
    transitions.defer_unknown([id], "no task is named tests.note", settings.BACKROOM_DEPLOY_WINDOW)
    assert state(id) == "waiting"


def test_a_worker_told_to_stop_gives_back_its_jobs_and_spends_no_attempt():
    id, others = once.enqueue(1), note.enqueue(2)
    late = transitions.claim(id, "stopping")
    transitions.claim(others, "another")
    assert requeue_unfinished("stopping") == [id]
    assert (state(id), Job.objects.get(id=id).attempts) == ("waiting", 0)
    assert state(others) == "running"
    with pytest.raises(Superseded):
        transitions.succeed(late, None)
    transitions.stage_due(9)
    transitions.succeed(transitions.claim(id, "next"), None)


def test_steps_of_a_chain_keep_their_options_and_refuse_what_can_not_be():
    (add.s(1, 2) | add.s(10).set(queue="bulk")).apply_async()
    assert Job.objects.exclude(after_id=None).get().queue == "bulk"
    for wrong in (
        add.s(1, 2) | add.s(10).set(countdown=60),
        add.s(1, 2) | add.si(1, 2).set(expires="5"),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong.apply_async()


def test_apply_and_a_retry_with_other_arguments_are_refused():
    with pytest.raises(TypeError):
        note.apply((1,))
    with pytest.raises(TypeError):
        note.retry(args=(2,))


def test_cancelling_a_running_job_leaves_its_followers():
    head = enqueue_all(add.call(1, 2).then(note.call(3)))[0]
    transitions.claim(head, "a")
    assert operations.cancel(ids=[head], dead=True) == []
    assert Job.objects.get(key="note:3").state == "waiting"


def test_a_worker_that_has_just_begun_is_let_speak():
    id = note.enqueue(1)
    transitions.claim(id, "new")
    assert rescue.requeue_abandoned() == []
    age(id)
    assert rescue.requeue_abandoned() == [id]


def test_a_follower_whose_predecessor_was_purged_runs_when_it_is_replayed():
    head = enqueue_all(add.call(1, 2).then(note.call(3)))[0]
    follower = str(Job.objects.get(key="note:3").id)
    operations.cancel(ids=[follower], dead=True)
    transitions.succeed(transitions.claim(head, "a"), 3)
    Job.objects.filter(id=head).delete()
    assert operations.replay([follower]) == [follower]
    assert [message.id for message in transitions.stage_due(10)] == [follower]


def age(*ids: str) -> None:
    """Let jobs have been claimed long ago."""
    Job.objects.filter(id__in=ids).update(started_at="2020-01-01T00:00Z")


def test_a_cancel_leaves_followers_alone_that_have_begun():
    head = enqueue_all(add.call(1, 2).then(note.call(3)))[0]
    transitions.succeed(transitions.claim(head, "a"), 3)
    follower = Job.objects.get(key="note:3")
    transitions.defer(transitions.claim(str(follower.id), "a"), 60, "OSError: x")
    assert operations.rerun(head, 1, "its effect is missing")
    assert operations.cancel(ids=[head], why="not needed") == [head]
    assert state(follower.id) == "waiting"


def test_a_replay_may_give_no_arguments():
    id = once.enqueue(1)
    transitions.mark_dead(transitions.claim(id, "a"), "gave up")
    assert operations.replay([id], args={}) == [id]
    assert Job.objects.get(id=id).args == {}


def test_a_follower_whose_predecessor_was_deleted_is_dead_and_overtakes_nothing():
    """As when a purge and a replay come at once."""
    head = enqueue_all(add.call(1, 2).then(note.call(3)))[0]
    follower = Job.objects.get(key="note:3")
    Job.objects.filter(id=head).delete()
    Dispatcher().rescue_if_due()
    assert state(follower.id) == "waiting"  # not before its first rescue
    due = Dispatcher()
    due.rescue_at = 0
    due.rescue_if_due()
    follower.refresh_from_db()
    assert (follower.state, follower.error) == ("dead", "the job before it was deleted")
    assert operations.replay([str(follower.id)]) == [str(follower.id)]
    assert Job.objects.get(id=follower.id).run_at


def test_a_follower_is_not_linked_to_a_job_that_is_not_there():
    enqueue_all(add.call(1, 2).then(note.call(3)))
    follower, other = str(Job.objects.get(key="note:3").id), note.enqueue(4)
    assert not operations.relink(follower, new_id())
    assert operations.relink(follower, other)
    assert str(Job.objects.get(id=follower).after_id) == other


def test_the_ids_of_a_process_sort_in_the_order_in_which_it_made_them():
    ids = [new_id() for _ in range(500)]
    assert ids == sorted(ids)


def test_two_calls_of_one_id_are_refused():
    id = new_id()
    with pytest.raises(ValueError, match="have one id"):
        enqueue_all(*(replace(add.call(1, right), id=id) for right in (2, 3)))


def test_an_id_that_another_job_has_is_refused_and_nothing_is_written():
    id = add.apply_async((1, 2), task_id=new_id()).id
    assert add.apply_async((1, 2), task_id=id).id == id  # the same call, sent twice
    for call in replace(once.call(1), id=id), replace(add.call(1, 3), id=id), replace(note.call(1), id=id):
        with pytest.raises(ValueError, match="another job has the id"), transaction.atomic():
            enqueue_all(note.call(7), call)
    assert Job.objects.count() == 1


def test_ready_jobs_of_a_removed_queue_become_dead_letters_unless_a_worker_serves_it(settings):
    settings.BACKROOM_DEPLOY_WINDOW = 0
    removed, declared = note.enqueue(1), note.enqueue(2)
    served = note.enqueue(3)
    Job.objects.filter(id=removed).update(queue="removed")
    Job.objects.filter(id=served).update(queue="of another release")
    Job.objects.update(published_at="2020-01-01T00:00Z")
    worker_beats("newer", "of another release")
    for _ in range(2):
        dispatcher.defer_jobs_of_unknown_queues()
        Job.objects.filter(state="waiting").update(state="ready", unknown_since="2020-01-01T00:00Z")
    assert (state(removed), state(declared), state(served)) == ("dead", "ready", "ready")
    assert Job.objects.get(id=removed).error == "no worker knows its queue"
