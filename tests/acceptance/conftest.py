"""A house of real processes for each test, and what its tests ask of the ledger and the partners."""

from collections.abc import Callable, Iterator

import pytest
import urllib3
from celery import current_app
from django.core.management import call_command

from jobs.models import Job
from tests.house import House


@pytest.fixture
def house(transactional_db, partners, tmp_path) -> Iterator[House]:
    """A house with nothing running yet, a seeded catalogue and an empty broker."""
    current_app.control.purge()
    call_command("seed", verbosity=0)
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.stop()


def job(key: str) -> Job:
    """The job of this key."""
    return Job.objects.get(key=key)


def in_state(key: str, state: str) -> Callable[[], bool]:
    """A condition: the job of this key is in this state."""
    return lambda: Job.objects.filter(key=key, state=state).exists()


def effects(partners: str, key: str) -> list[dict]:
    """What the partners really did under this key."""
    return [e for e in urllib3.request("GET", f"{partners}/effects").json()["effects"] if e["key"] == key]


def fault(partners: str, partner: str, **faults: object) -> None:
    """Set a partner's faults."""
    assert urllib3.request("PUT", f"{partners}/faults/{partner}", json=faults).status == 200
