"""Resumable jobs: where the next attempt goes on, and that each atomic row is done once, whatever dies and when."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from signal import SIGKILL

import pytest
from celery import current_app
from celery.exceptions import Ignore, Retry
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from backroom import resumable, task, testing
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.errors import Superseded
from backroom.ledger.models import Job
from backroom.observe.models import Progress
from backroom.runtime import execution, sigterm
from backroom.runtime import resumable as module
from tests.waiting import until

ROWS = 6
bodies: dict[str, Callable[..., object]] = {}


@task(name="tests.resumable")
def going_through(case: str = "") -> object:
    return bodies["now"]()


@task(name="tests.resumable_atomic", atomic=True)
def going_through_at_once() -> object:
    return bodies["now"]()


@pytest.fixture
def groups(transactional_db) -> Iterator[list[str]]:
    Group.objects.bulk_create(Group(name=f"group {number}") for number in range(ROWS))
    yield [f"group {number}" for number in range(ROWS)]
    Group.objects.filter(name__startswith="group").delete()  # the roles stay between tests
    bodies.clear()
    sigterm.main_stops(warm=False)


def rows() -> module.Resumable:
    return resumable(Group.objects.filter(name__startswith="group"))  # others are the shop's roles


def do(group: Group) -> None:
    """An effect that happens as often as this is called and committed."""
    Session.objects.create(session_key=os.urandom(16).hex(), session_data=group.name, expire_date=Now())


def done() -> Counter[str]:
    return Counter(Session.objects.values_list("session_data", flat=True))


def once(names: list[str]) -> Counter[str]:
    return Counter(names)


def attempt(body: Callable[[], object], id: str = "", of=going_through) -> Job:
    """One attempt of the job, or of a new one; returns the job after it."""
    bodies["now"] = body
    id = id or of.enqueue()
    transitions.stage_due(9)
    with suppress(Retry, Ignore, Exception):
        execution.perform(of, id)
    return Job.objects.get(id=id)


def due(job: Job) -> str:
    Job.objects.filter(id=job.id, state="waiting").update(run_at=Now())
    return str(job.id)


def each(act: Callable[[Group], object] = do, atomic: bool = True) -> Callable[[], None]:
    """A body that does this with each row."""

    def body() -> None:
        for group in (found := rows()):
            if not atomic:
                act(group)
                continue
            with found.atomic():
                act(group)

    return body


def fails_at(name: str) -> Callable[[Group], None]:
    def act(group: Group) -> None:
        do(group)
        if group.name == name:
            raise OSError("x")

    return act


def test_the_next_attempt_goes_on_at_the_row_that_failed_whose_step_was_rolled_back(groups):
    job = attempt(each(fails_at("group 3")))
    assert (job.state, job.attempts, done()) == ("waiting", 1, once(groups[:3]))
    job = attempt(each(), due(job))
    assert (job.state, job.attempts, done()) == ("succeeded", 2, once(groups))


def test_without_steps_the_row_that_failed_is_done_again_and_no_other(groups):
    job = attempt(each(fails_at("group 3"), atomic=False))
    job = attempt(each(atomic=False), due(job))
    assert (job.state, done()) == ("succeeded", once([*groups, "group 3"]))


BOUNDARIES = ("before the step", "in the step", "before its commit", "after its commit")


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_process_killed_at_any_boundary_of_a_step_does_no_row_twice_and_loses_none(groups, boundary, monkeypatch):
    def reach(here: str, name: str) -> None:
        if (here, name) == (boundary, "group 2"):
            os.kill(os.getpid(), SIGKILL)

    def body() -> None:
        for group in (found := rows()):
            reach("before the step", group.name)
            with found.atomic():
                do(group)
                reach("in the step", group.name)
                monkeypatch.setattr(module.transitions, "save_cursor", partial_kill(group.name))
            reach("after its commit", group.name)

    save = transitions.save_cursor

    def partial_kill(name: str) -> Callable[..., None]:
        def save_and_reach(*arguments) -> None:
            save(*arguments)
            reach("before its commit", name)

        return save_and_reach

    id = going_through.enqueue()
    connection.close()
    child = os.fork()
    if not child:
        try:
            attempt(body, id)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == SIGKILL
    Job.objects.update(started_at=Now() - timedelta(minutes=1))
    until(lambda: rescue.requeue_abandoned() == [id], what="the dead process's session has ended")
    job = attempt(each(), id)
    assert (job.state, job.attempts, done()) == ("succeeded", 2, once(groups))


def test_a_step_of_a_worker_that_lost_its_job_is_rolled_back_with_its_cursor(groups):
    def body() -> None:
        for group in (found := rows()):
            with found.atomic():
                do(group)
                if group.name == "group 2":
                    lose(Job.objects.get())

    def lose(job: Job) -> None:
        """In another session, as a rescue that takes a frozen worker for dead."""
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("UPDATE backroom_job SET claims = claims + 1, attempts = 0 WHERE id = %s", [job.id])
        other.close()

    job = attempt(body)
    assert (job.state, job.cursor["done"], done()) == ("running", 2, once(groups[:2]))


@pytest.mark.parametrize("atomic", [True, False])
def test_a_stop_of_the_worker_interrupts_between_two_rows_uses_no_attempt_and_keeps_the_cursor(groups, atomic):
    def stops(group: Group) -> None:
        do(group)
        if group.name == "group 2":
            sigterm.main_stops(warm=True)

    def body() -> None:
        try:
            each(stops, atomic)()
        except Exception:
            raise AssertionError("the body took the stop for an error") from None

    job = attempt(body)
    assert (job.state, job.attempts, job.cursor["done"], done()) == ("waiting", 0, 3, once(groups[:3]))
    assert job.run_at <= Job.objects.values_list(Now(), flat=True)[0], "due at once"
    sigterm.main_stops(warm=False)
    job = attempt(each(atomic=atomic), str(job.id))
    assert (job.state, job.attempts, job.claims, done()) == ("succeeded", 1, 2, once(groups))


def test_a_job_longer_than_its_time_limit_ends_between_two_rows_and_goes_on_without_using_an_attempt(
    groups, monkeypatch
):
    monkeypatch.setitem(current_app.conf, "task_soft_time_limit", 0.02)
    id = going_through.enqueue()
    for number in range(1, ROWS + 1):
        job = attempt(each(lambda group: (do(group), time.sleep(0.01))), id)
        assert (done(), job.attempts) == (once(groups[:number]), number == ROWS)
    assert job.state == "succeeded"
    assert module.turn() == 0.01


def test_a_stop_after_the_last_row_lets_the_job_finish(groups):
    assert attempt(each(lambda group: sigterm.main_stops(warm=group.name == groups[-1]))).state == "succeeded"


def test_rows_added_ahead_come_too_and_deleted_ones_do_not(groups, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)

    def body() -> list[str]:
        seen = []
        for group in rows():
            seen.append(group.name)
            if group.name == "group 1":
                Group.objects.filter(name__in=["group 0", "group 3"]).delete()
                Group.objects.create(name="group new")
            if group.name == "group 2":
                group.delete()
        return seen

    assert attempt(body).result == ["group 0", "group 1", "group 2", "group 4", "group 5", "group new"]


def test_the_cursor_is_written_once_a_second_in_place_and_before_the_end(groups, monkeypatch):
    def writes(body: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as seen:
            attempt(body)
        return sum("SET cursor" in query["sql"] for query in seen)

    monkeypatch.setattr(module, "EVERY", 100)
    assert writes(each(atomic=False)) == 1
    assert writes(each(fails_at("group 3"), atomic=False)) == 1
    assert writes(each()) == ROWS
    monkeypatch.setattr(module, "EVERY", 0)
    assert writes(each(atomic=False)) == ROWS


@pytest.mark.django_db
def test_the_cursor_is_updated_in_place():
    job = transitions.claim(going_through.enqueue(), "one")
    for done in range(3):
        transitions.save_cursor(job, {"at": str(done)})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_get_xact_tuples_hot_updated('backroom_job'::regclass)")
        assert cursor.fetchone()[0] >= 3


def test_progress_goes_on_where_the_last_attempt_was(groups):
    job = attempt(each(fails_at("group 3")))
    Group.objects.filter(name__in=groups[:2]).delete()
    attempt(each(fails_at("group 5")), due(job))
    assert list(Progress.objects.order_by("claim").values_list("done", "total")) == [(3, ROWS), (5, ROWS)]


def test_a_replay_goes_on_and_one_with_other_arguments_or_a_rerun_begins_anew(groups):
    job = attempt(each(fails_at("group 3")))
    for args, expected in ((None, 3), ({"case": "anew"}, 0)):
        Job.objects.update(state="dead", finished_at=Now())
        operations.replay([str(job.id)], args=args)
        seen: list[str] = []
        attempt(each(lambda group, seen=seen: seen.append(group.name)), due(job))
        assert seen == groups[expected:]
    again = Job.objects.get()
    assert operations.rerun(str(again.id), again.claims, "lost")
    assert Job.objects.get().cursor is None


@pytest.mark.parametrize(
    ("cursor", "why"),
    [
        ({"by": "auth.group.pk", "at": "x", "done": 1}, "cursor x is not one by auth.group.pk"),
        ({"by": "auth.group.name", "at": "1", "done": 1}, "is not one by auth.group.pk"),
    ],
)
def test_a_cursor_that_the_code_does_not_know_is_an_error_that_says_what_to_do(groups, cursor, why):
    id = going_through.enqueue()
    Job.objects.update(cursor=cursor)
    job = attempt(each(), id)
    assert (job.state, done()) == ("waiting", {})
    assert why in job.error
    assert "edited arguments to begin anew" in job.error


def test_a_function_gets_the_cursor_and_returns_the_rows_after_it(groups):
    def body() -> None:
        found = resumable(lambda after: range(after or 0, ROWS), cursor=lambda number: number + 1, total=ROWS)
        for number in found:
            do(Group(name=str(number)))
            if number == 3 and done().total() == 4:
                raise OSError("x")

    job = attempt(body)
    assert (job.cursor["at"], attempt(body, due(job)).state) == (3, "succeeded")
    assert done() == once([*"012345", "3"])


def in_one_transaction() -> None:
    with transaction.atomic():
        for group in rows():
            do(group)


def two_steps_for_a_row() -> None:
    for _ in (found := rows()):
        for _ in range(2):
            with found.atomic():
                pass


def two_cursors() -> None:
    for _ in range(2):
        list(rows())


def by_a_field_with_equal_values() -> None:
    resumable(Session.objects.all(), cursor="expire_date")


def in_another_order() -> None:
    resumable(Group.objects.order_by("name"))


def with_a_cursor_of_none() -> None:
    list(resumable(lambda at: [1], cursor=lambda row: None))


def of_a_list() -> None:
    resumable([1])


def of_a_manager() -> None:
    resumable(Group.objects)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (in_one_transaction, "use rows.atomic() for each row instead"),
        (two_steps_for_a_row, "rows.atomic() is for the row in hand, once"),
        (two_cursors, "enqueue a job for each resumable()"),
        (by_a_field_with_equal_values, "its values must be unique"),
        (in_another_order, "come in its order"),
        (lambda: list(resumable(lambda at: [1], cursor=lambda row: "x" * 9_000)), "over 8000 bytes"),
        (with_a_cursor_of_none, "a row's cursor is None"),
        (of_a_list, "rows is a QuerySet"),
        (of_a_manager, "rows is a QuerySet"),
    ],
)
def test_what_could_lose_a_row_is_an_error(groups, body, why):
    assert why in attempt(body).error
    assert not done()


def test_an_atomic_task_has_no_steps(groups):
    assert "in an atomic task" in attempt(each(), of=going_through_at_once).error


def test_outside_of_a_job_it_iterates(groups):
    assert [group.name for group in rows()] == groups
    each()()
    assert done() == once(groups)
    with transaction.atomic():
        each()()
        transaction.set_rollback(True)
    assert done() == once(groups)


class InATest(TestCase):
    """As an adopter's tests run jobs: in the test's transaction."""

    def test_resumable_jobs_run(self) -> None:
        Group.objects.bulk_create(Group(name=f"group {number}") for number in range(3))
        bodies["now"] = each()
        going_through.enqueue()
        (job,) = testing.run_jobs()
        assert (job.state, sum(done().values())) == ("succeeded", 3)


def test_a_late_cursor_raises_superseded(transactional_db):
    id = going_through.enqueue()
    late = transitions.claim(id, "one")
    transitions.defer(late, 0, "x")
    transitions.stage_due(9)
    transitions.save_cursor(transitions.claim(id, "two"), {"at": 7})
    with pytest.raises(Superseded):
        transitions.save_cursor(late, {"at": 1})
    assert Job.objects.get().cursor == {"at": 7}
