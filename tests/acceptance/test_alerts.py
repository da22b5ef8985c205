"""A person is called while the workers are dead: by a process that lives when they don't, over a real mail server."""

from collections.abc import Callable

import pytest
import urllib3

from backroom.ledger import rescue
from backroom.ledger.models import Heartbeat
from backroom.ops.models import Alert
from backroom.ops.rules import LASTING
from tests.acceptance.conftest import Cluster
from tests.integration.watching import goes_by
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

WATCHERS = ("watcher", "watcher-2")
QUEUES = ("media", "webhooks")
WORKERS = [f"worker-{queue}" for queue in QUEUES]


@pytest.fixture
def watched(house: Cluster):
    """The house with all workers, and then two watchers that have looked at it. Other tests' house is without them."""
    house.start(*WORKERS)
    house.start(*WATCHERS)
    until(lambda: Heartbeat.objects.filter(role="watcher").count() == 2, what="both have looked")
    yield house
    for name in (*WATCHERS, *WORKERS):
        process = house.processes.pop(name)
        process.terminate()
        assert process.wait(60) == 0


def mails(partners: str, what: str) -> list[int]:
    """How often each mail about queues came that says that something fired, or is over."""
    found = urllib3.request("GET", f"{partners}/effects?partner=mail").json()["effects"]
    return [
        effect["count"]
        for effect in found
        if effect["key"].startswith("alert:queue-without-worker.") and effect["key"].endswith(what)
    ]


def nothing() -> None:
    """Time passes by itself."""


@pytest.mark.parametrize(
    ("passes", "patience"),
    [
        pytest.param(goes_by, 30, id="the clock is pushed"),
        pytest.param(nothing, LASTING + 30, id="by the clock", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
def test_killed_workers_are_mailed_while_they_are_dead_and_once_more_when_they_are_back(
    watched: Cluster, partners: str, passes: Callable[[], None], patience: float
):
    gone = Alert.objects.filter(rule="queue-without-worker", recovered_at=None)
    for name in WORKERS:
        watched.kill(name)
    until(lambda: gone.count() == len(QUEUES), rescue.SILENCE + 20, "their silence is noticed")
    passes()
    until(lambda: gone.filter(mailed_at=None).count() == 0, patience, "it is mailed")
    assert not any(watched.processes[name].poll() is None for name in WORKERS)
    assert mails(partners, ".fired") == [1] * len(QUEUES)
    watched.start(*WORKERS)
    assert Heartbeat.objects.filter(role="worker", queues__in=QUEUES).count() >= len(QUEUES)
    until(lambda: gone.filter(calm_since=None).count() == 0, what="their return is noticed")
    passes()
    until(lambda: mails(partners, ".over") == [1] * len(QUEUES), patience, "their return is mailed")
    until(lambda: not gone.exists())
    assert mails(partners, ".fired") == mails(partners, ".over") == [1] * len(QUEUES)
