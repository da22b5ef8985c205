"""Points and pairs: counted in the job's own transaction, exactly once, also when many orders come at the same time."""

import random
import threading
from functools import partial

import pytest
from celery.exceptions import Ignore
from django.db import connection, transaction

from backroom import enqueue_all
from backroom.ledger.models import Job, State
from catalog.models import BoughtTogether
from orders.models import LoyaltyAccount
from tests.integration.paid_orders import call_of, job_of, paid_order, perform
from tests.integration.sick_database import a_session_waits
from tests.waiting import until

pytestmark = pytest.mark.django_db


def test_points_are_the_whole_euros_and_a_second_delivery_adds_none():
    order = paid_order(total="12.99")
    job = job_of("loyalty", order.number)
    with pytest.raises(Ignore):
        perform(str(job.pk))
    job_of("loyalty", paid_order(total="7.50", email="kawiarnia@EXAMPLE.com").number)
    (account,) = LoyaltyAccount.objects.all()
    assert (account.email, account.points) == ("kawiarnia@example.com", 19)


def counts() -> dict[tuple[str, str], int]:
    return {(pair.product.slug, pair.other.slug): pair.count for pair in BoughtTogether.objects.all()}


def test_pairs_are_counted_in_both_directions_and_once_for_each_order():
    order = paid_order("apples", "pears", "plums")
    job = job_of("recommendations", order.number)
    with pytest.raises(Ignore):
        perform(str(job.pk))
    job_of("recommendations", paid_order("pears", "apples").number)
    job_of("recommendations", paid_order("apples").number)
    assert counts() == {
        ("apples", "pears"): 2,
        ("pears", "apples"): 2,
        ("apples", "plums"): 1,
        ("plums", "apples"): 1,
        ("pears", "plums"): 1,
        ("plums", "pears"): 1,
    }


def all_at_once(calls: list) -> list[Exception]:
    """Run each call in a thread of its own, with its own connection, from one starting line; what they raised."""
    line, raised = threading.Barrier(len(calls)), []

    def run(call) -> None:
        line.wait()
        try:
            call()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_an_order_counts_once_also_when_its_job_is_there_anew():
    order = paid_order("apples", "pears", total="12.99")
    for _ in range(2):
        job_of("loyalty", order.number)
        job_of("recommendations", order.number)
        Job.objects.all().delete()
    assert LoyaltyAccount.objects.get().points == 12
    assert set(counts().values()) == {1}


@pytest.mark.django_db(transaction=True)
def test_points_of_a_worker_that_finishes_too_late_are_rolled_back():
    account = LoyaltyAccount.objects.create(email="kawiarnia@example.com", points=5)
    id = enqueue_all(call_of("loyalty", paid_order(total="12.99").number))[0]
    late: list[Exception] = []
    worker_thread = threading.Thread(target=lambda: late.extend(all_at_once([lambda: perform(id)])))
    with transaction.atomic():
        LoyaltyAccount.objects.select_for_update().get(pk=account.pk)  # the worker gets as far as its UPDATE
        worker_thread.start()
        until(a_session_waits, what="the worker waits for the account")
        Job.objects.filter(pk=id).update(state=State.WAITING)  # as a rescue does with a job of a silent worker
    worker_thread.join()
    assert [type(error) for error in late] == [Ignore]
    account.refresh_from_db()
    assert account.points == 5


@pytest.mark.django_db(transaction=True)
def test_orders_of_one_customer_at_the_same_time_all_earn_their_points():
    ids = [enqueue_all(call_of("loyalty", paid_order(total="10.00").number))[0] for _ in range(8)]
    assert all_at_once([partial(perform, id) for id in ids]) == []
    assert LoyaltyAccount.objects.get().points == 80


@pytest.mark.django_db(transaction=True)
def test_orders_with_pairs_in_common_at_the_same_time_do_not_lock_each_other_out():
    slugs = [f"fruit-{i}" for i in range(12)]
    ids = []
    for seed in range(8):
        mixed = random.Random(seed).sample(slugs, len(slugs))
        ids.append(enqueue_all(call_of("recommendations", paid_order(*mixed).number))[0])
    assert all_at_once([partial(perform, id) for id in ids]) == []
    assert set(counts().values()) == {8}
