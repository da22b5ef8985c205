"""Webhooks out by real workers, to the receivers of the partners."""

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import urllib3
from django.contrib.auth.models import User

from notifications.endpoints.events import send_test
from notifications.endpoints.forms import MOST
from notifications.endpoints.models import Attempt, Delivery, Endpoint
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db, pytest.mark.slow]

ENDPOINTS, HANGING, EVENTS, APART = 50, 3, 150, 0.2  # an event every 0.2 s, to one endpoint after the other


@pytest.fixture
def endpoints(house: Cluster, partners_process: str) -> Iterator[list[Endpoint]]:
    """Of five accounts, and the worker that serves them: other tests' house is without it."""
    house.start("worker-webhooks")
    users = [User.objects.create(username=f"endpoints {number}") for number in range(ENDPOINTS // MOST)]
    yield [
        Endpoint.objects.create(user=users[number // MOST], url=f"{partners_process}/receiver/number-{number}")
        for number in range(ENDPOINTS)
    ]
    for user in users:
        user.delete()
    worker = house.processes.pop("worker-webhooks")
    worker.terminate()
    assert worker.wait(80) == 0


def times(endpoints: list[Endpoint]) -> list[float]:
    """Seconds from an event to its arrival at the endpoints that work, in ascending order."""
    last = Delivery.objects.order_by("id").values_list("pk", flat=True).last() or 0
    for number in range(EVENTS):
        send_test(endpoints[number % ENDPOINTS])
        time.sleep(APART)
    sent = Delivery.objects.filter(pk__gt=last, endpoint__in=endpoints[HANGING:])
    until(lambda: not sent.exclude(state=Delivery.State.DELIVERED).exists())
    return sorted((each.ended_at - each.created_at).total_seconds() for each in sent)


def requests_to(endpoint: Endpoint) -> list[tuple[float, float]]:
    """The begin and the end of each."""
    ends = Attempt.objects.filter(delivery__endpoint=endpoint).order_by("at").values_list("at", "milliseconds")
    return [(end.timestamp() - took / 1000, end.timestamp()) for end, took in ends]


def test_of_fifty_endpoints_three_that_hang_delay_no_other(endpoints: list[Endpoint], partners_process: str):
    before = times(endpoints)
    begin = time.time()
    for number in range(HANGING):
        address = f"{partners_process}/receivers/number-{number}"
        assert urllib3.request("PUT", address, json={"hang": True}).status == 200
    beside = times(endpoints)
    p95 = int(len(before) * 0.95)
    print(f"95 in 100 arrive within {before[p95]:.3f} s; beside three that hang, {beside[p95]:.3f} s")
    assert beside[p95] <= max(2 * before[p95], 1)
    hung = [[each for each in requests_to(endpoint) if each[0] > begin] for endpoint in endpoints[:HANGING]]
    # All three hung at once, or this proves nothing; and each got one request at a time.
    assert any(max(a[0], b[0], c[0]) < min(a[1], b[1], c[1]) for a in hung[0] for b in hung[1] for c in hung[2])
    assert [pair for each in hung for pair in pairwise(each) if pair[1][0] < pair[0][1] - 0.5] == []
