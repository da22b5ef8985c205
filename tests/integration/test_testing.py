"""What `backroom.testing` gives a project's tests, which run in a transaction that is rolled back."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from backroom import Permanent, RetryAfter, Snooze, enqueue_all, task, testing
from backroom.ledger.models import Job, Pause
from backroom.runtime import heartbeat

pytestmark = pytest.mark.django_db

ran: list[str] = []
errors: list[Exception] = []


@task(name="tests.testing.note")
def note(word: str) -> str:
    ran.append(word)
    if errors:
        raise errors.pop()
    return f"after {word}"


@task(name="tests.testing.note_both")
def note_both(word: str) -> None:
    note.enqueue(f"{word} enqueued this")
    ran.append(word)


@task(name="tests.testing.same_name_twice")
def same_name_twice(name: str) -> None:
    Group.objects.create(name=name)
    Group.objects.create(name=name)


@task(name="tests.testing.atomic_group", atomic=True)
def atomic_group(name: str) -> None:
    Group.objects.create(name=name)
    raise errors.pop()


@task(name="tests.testing.in_turn", in_order="tests")
def in_turn() -> None:
    pass


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()
    errors.clear()


def states() -> list[tuple[str, int]]:
    return list(Job.objects.order_by("id").values_list("state", "attempts"))


def test_jobs_run_in_order_with_all_that_they_enqueue_and_their_followers():
    note_both.enqueue("a")
    enqueue_all(note.call("b").then(note.call("c")))
    jobs = testing.run_jobs()
    assert ran == ["a", "b", "a enqueued this", "c"]
    assert [job.state for job in jobs] == ["succeeded"] * 4
    assert jobs[1].result == "after b"
    assert testing.run_jobs() == []


def test_a_test_sees_what_was_enqueued_and_with_which_arguments():
    note.enqueue("a")
    note.using(run_after=timedelta(hours=1)).enqueue("b")
    assert [job.args["word"] for job in testing.enqueued(note)] == ["a", "b"]
    assert [job.state for job in testing.enqueued(note, "b")] == ["waiting"]
    assert testing.enqueued(note, word="c") == []
    with pytest.raises(TypeError):
        testing.enqueued(note, number=1)


def test_a_rolled_back_enqueue_leaves_no_job():
    with transaction.atomic():
        note.enqueue("a")
        transaction.set_rollback(True)
    assert testing.enqueued(note) == []


def test_an_error_of_a_body_fails_the_test_and_the_job_is_retried_once_its_time_has_come():
    errors.append(ZeroDivisionError("why"))
    note.enqueue("a")
    with pytest.raises(ZeroDivisionError, match="why"):
        testing.run_jobs()
    assert testing.run_jobs() == []
    testing.advance(timedelta(minutes=10))
    assert [job.state for job in testing.run_jobs()] == ["succeeded"]
    assert states() == [("succeeded", 2)]


@pytest.mark.parametrize(
    ("error", "then"),
    [(Permanent("never"), ("dead", 1)), (RetryAfter(9, "busy"), ("waiting", 1)), (Snooze(9, "early"), ("waiting", 0))],
)
def test_an_expected_error_is_the_ledgers_affair(error, then):
    errors.append(error)
    note.enqueue("a")
    testing.run_jobs(raising=False)
    assert states() == [then]


def test_a_snooze_fails_no_test():
    errors.append(Snooze(9, "early"))
    note.enqueue("a")
    assert [job.state for job in testing.run_jobs()] == ["waiting"]


def test_the_test_goes_on_after_an_error_of_the_database():
    same_name_twice.enqueue("a")
    note.enqueue("b")
    with pytest.raises(IntegrityError):
        testing.run_jobs()
    testing.run_jobs()
    assert states() == [("waiting", 1), ("succeeded", 1)]
    assert not Group.objects.filter(name="a").exists()


def test_an_atomic_body_that_fails_leaves_nothing():
    errors.append(ZeroDivisionError())
    atomic_group.enqueue("a")
    testing.run_jobs(raising=False)
    assert not Group.objects.filter(name="a").exists()


def test_a_paused_task_does_not_run():
    Pause.objects.create(what="task:tests.testing.note", who="a test", why="")
    note.enqueue("a")
    testing.run_jobs()
    assert ran == []
    Pause.objects.all().delete()
    testing.run_jobs()
    assert ran == ["a"]


def test_time_passes_for_jobs_that_have_one():
    first, second = (in_turn.enqueue() for _ in range(2))
    parked = Job.objects.get(id=second).run_at
    with pytest.raises(TypeError, match="by a timedelta, not 5"):
        testing.advance(5)  # type: ignore[arg-type]
    testing.advance(timedelta(days=1))
    assert Job.objects.get(id=second).run_at == parked
    assert [str(job.id) for job in testing.run_jobs()] == [first, second]


def test_jobs_without_end_fail_the_test():
    note_both.enqueue("a")
    with pytest.raises(AssertionError, match="still due after 1"):
        testing.run_jobs(limit=1)


@pytest.mark.django_db(transaction=True)
def test_it_works_without_a_transaction_around_the_test_and_is_no_worker_after_it():
    enqueue_all(note.call("a").then(note.call("b")))
    testing.run_jobs()
    assert ran == ["a", "b"]
    assert not heartbeat.worker_name


def test_time_that_passes_ends_what_expires_and_what_is_unique_for_a_time():
    hourly = note.using(unique=("note", timedelta(hours=1)), expires=timedelta(minutes=1))
    first = hourly.enqueue("too late")
    testing.advance(timedelta(hours=2))
    assert hourly.enqueue("in time") != first
    testing.run_jobs()
    assert Job.objects.get(id=first).state == "cancelled"
    assert ran == ["in time"]
