"""Webhooks out by real workers, to the receivers of the partners."""

import time
from itertools import pairwise

import pytest
import urllib3
from django.contrib.auth.models import User

from backroom.outbound import strangers
from notifications.endpoints.events import send_test
from notifications.endpoints.models import Attempt, Delivery, Endpoint
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

ENDPOINTS, EVENTS, APART = 50, 150, 0.2  # an event every 0.2 s, to one endpoint after the other


def percentile(endpoints: list[Endpoint], hanging: Endpoint) -> float:
    """Seconds from an event to its arrival at an endpoint that works, of which 95 in 100 are shorter."""
    last = Delivery.objects.order_by("id").values_list("pk", flat=True).last() or 0
    for number in range(EVENTS):
        send_test(endpoints[number % ENDPOINTS])
        time.sleep(APART)
    sent = Delivery.objects.filter(pk__gt=last, endpoint__in=endpoints).exclude(endpoint=hanging)
    until(lambda: not sent.exclude(state=Delivery.State.DELIVERED).exists())
    times = sorted((each.ended_at - each.created_at).total_seconds() for each in sent)
    return times[int(len(times) * 0.95)]


@pytest.mark.slow
def test_of_fifty_endpoints_one_that_hangs_delays_no_other(house: Cluster, partners_process: str):
    user = User.objects.create(username="fifty endpoints")
    endpoints = [
        Endpoint.objects.create(user=user, url=f"{partners_process}/receiver/number-{number}")
        for number in range(ENDPOINTS)
    ]
    hanging = endpoints[0]
    before = percentile(endpoints, hanging)
    address = f"{partners_process}/receivers/number-0"
    assert urllib3.request("PUT", address, json={"hang": True}).status == 200
    beside = percentile(endpoints, hanging)
    print(f"95 in 100 arrive within {before:.3f} s; beside one that hangs, {beside:.3f} s")
    assert beside < strangers.ANSWER  # for which one request holds a process
    attempts = Attempt.objects.filter(delivery__endpoint=hanging, status=None).order_by("at")
    until(lambda: attempts.count() >= 2)
    ends = [(each.at.timestamp(), each.milliseconds / 1000) for each in attempts]
    overlaps = [end for (end, _), (next_end, took) in pairwise(ends) if next_end - took < end - 0.5]
    assert overlaps == []
    user.delete()
