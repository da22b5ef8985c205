"""A job that has to begin by a time, and has not, is cancelled when its turn comes."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from backroom import enqueue_all, task
from backroom.ledger import operations, transitions
from backroom.ledger.models import Job, Pause

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@task(name="tests.quote", expires=MINUTE)
def quote(number: int = 0) -> int:
    return number


@task(name="tests.forecast")
def forecast(number: int = 0) -> int:
    return number


def age(**changes: object) -> None:
    """Let two minutes pass."""
    Job.objects.update(expires_at=F("expires_at") - 2 * MINUTE, run_at=F("run_at") - 2 * MINUTE, **changes)


def test_a_ready_job_is_cancelled_by_the_claim_with_those_behind_it():
    id = enqueue_all(quote.call().then(forecast.call()))[0]
    age()
    assert transitions.claim(id, "a") is None
    head, follower = Job.objects.order_by("id")
    assert (head.state, follower.state) == ("cancelled", "cancelled")
    assert head.error == f"expired: not begun by {head.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    assert follower.error == "the job before it expired"
    assert head.finished_at


def test_a_due_job_is_cancelled_instead_of_published():
    late = quote.using(run_after=MINUTE).enqueue()
    in_time = forecast.using(run_after=MINUTE, expires=timedelta(minutes=3)).enqueue()
    age()
    assert [message.id for message in transitions.stage_due(9)] == [in_time]
    assert Job.objects.get(id=late).state == "cancelled"


def test_a_job_that_begins_in_time_costs_no_further_statement(django_assert_num_queries):
    id, plain = quote.enqueue(), forecast.enqueue()
    with django_assert_num_queries(2):
        assert transitions.claim(id, "a")
        assert transitions.claim(plain, "a")
    assert Job.objects.get(id=plain).expires_at is None


def test_a_retry_does_not_expire():
    id = quote.enqueue()
    transitions.defer(transitions.claim(id, "a"), 1, "again")
    age()
    assert [message.id for message in transitions.stage_due(9)] == [id]
    assert transitions.claim(id, "a")


def test_an_expired_job_that_a_person_replays_runs():
    id = quote.enqueue()
    age()
    transitions.claim(id, "a")
    assert operations.replay([id]) == [id]
    transitions.stage_due(9)
    assert transitions.claim(id, "a")


def test_a_paused_job_expires_after_the_resume():
    id = quote.enqueue()
    age()
    pause = Pause.objects.create(what="task:tests.quote", who="me", why="")
    assert transitions.claim(id, "a") is None
    assert transitions.stage_due(9) == []
    assert Job.objects.get(id=id).state == "waiting"
    pause.delete()
    assert transitions.stage_due(9) == []
    assert Job.objects.get(id=id).state == "cancelled"


def test_celerys_spelling_leads_there():
    for expires in 90, 90.0, datetime.now(UTC) + timedelta(seconds=90):
        forecast.apply_async((1,), expires=expires)
        forecast.s(1).set(expires=expires).delay()
    left = Job.objects.annotate(left=F("expires_at") - Now()).values_list("left", flat=True)
    assert all(timedelta() < each <= timedelta(seconds=90) for each in left)
    assert len(left) == 6


@pytest.mark.parametrize(
    ("expires", "error"),
    [
        ("1 h", TypeError),
        ("2030-01-01T00:00:00Z", TypeError),
        (datetime(2030, 1, 1), ValueError),
        (timedelta.max, ValueError),
        (1e30, ValueError),
        (float("nan"), ValueError),
        (timedelta(seconds=-1), ValueError),
        (0, ValueError),
    ],
)
def test_what_is_no_time_is_refused(expires, error):
    with pytest.raises(error, match=r"tests\.forecast: expires"):
        forecast.apply_async((1,), expires=expires)
    assert not Job.objects.exists()
