"""A unique name with a real worker that takes its jobs while others enqueue them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction

from backroom.ledger.models import Job, Unique
from tests.acceptance.conftest import Cluster
from tests.acceptance.unique_tasks import late, mark, total
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _jobs_deleted(house: Cluster) -> Iterator[None]:
    yield
    Job.objects.filter(task__startswith="tests.unique.").delete()
    Unique.objects.all().delete()


def test_no_dropped_newcomer_is_lost_and_what_comes_too_late_is_cancelled():
    def enqueue(number: int) -> str:
        try:
            with transaction.atomic():
                mark.using(run_after=timedelta(days=1)).enqueue()
                return total.enqueue()
        finally:
            connection.close()

    expired = late.enqueue()
    with ThreadPoolExecutor(3) as pool:
        ids = list(pool.map(enqueue, range(60)))
    until(lambda: not Job.objects.filter(id__in=ids).exclude(state="succeeded").exists(), 60)
    assert Job.objects.filter(task=total.name).count() == len(set(ids))
    assert Job.objects.filter(task=total.name).latest("started_at").result == 60
    until(lambda: Job.objects.get(id=expired).state == "cancelled")
    assert Job.objects.get(id=expired).error.startswith("expired: not begun by")
