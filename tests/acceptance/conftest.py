"""What the tests with real processes ask of the ledger and the partners."""

import os
from collections.abc import Callable, Iterator

import pytest
import urllib3
from celery import current_app
from django.core.management import call_command

from backroom.ledger.models import Job
from tests import truncate
from tests.cluster import Cluster

MAIL_RATE = float(os.environ.get("MAIL_RATE", "10"))  # a second
TASKS = ",".join(f"tests.acceptance.{name}" for name in ("batch_tasks", "lane_tasks", "long_jobs", "unique_tasks"))


class House(Cluster):
    """Its worker-bulk knows the tests' own tasks: no module needs another one in its place. Its web has one child, to
    start sooner; SIGTTIN adds another."""

    def commands(self) -> dict[str, list[str]]:
        found = super().commands()
        own = [*found["worker-bulk"], f"--include={TASKS}"]
        web = [*found["web"], "--workers=1"]
        return found | {"web": web, "worker-bulk": own, "worker-bulk-2": [*own, "--hostname=two@%h"]}


@pytest.fixture(scope="package")
def open_house(django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[House]:
    """One house for the whole folder: its tests share the database, so each looks only at orders of its own."""
    with django_db_blocker.unblock():
        current_app.control.purge()
        call_command("seed", verbosity=0)
        house = House(tmp_path_factory.mktemp("house"))
        house.env |= {"MAIL_RATE": str(MAIL_RATE), "CANCEL_GRACE": "4", "LANES_JOURNAL": str(house.logs / "journal")}
        try:
            yield house
        finally:
            house.stop()
            truncate.tables()


@pytest.fixture
def _django_db_helper() -> None:
    """Instead of pytest-django's, which hides what a test writes in a transaction, or empties the database after it:
    here other processes must see it."""


@pytest.fixture
def house(open_house: Cluster, partners_process: str) -> Cluster:
    """The shop with all its processes running and no fault at any partner, whatever the test before left."""
    urllib3.request("POST", f"{partners_process}/reset")
    urllib3.request("PUT", f"{partners_process}/webhooks", json={"url": open_house.site})
    open_house.start("web", "worker-critical", "worker-default", "worker-bulk", "dispatcher")
    return open_house


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


def requests(partners: str, partner: str) -> int:
    return urllib3.request("GET", f"{partners}/traffic").json()[partner]["requests"]


def ask(method: str, url: str, account: str = "", **options) -> urllib3.BaseHTTPResponse:
    """Request an address of Flower; `account` is user:password."""
    headers = urllib3.make_headers(basic_auth=account) if account else {}
    return urllib3.request(method, url, headers=headers, redirect=False, timeout=60, **options)
