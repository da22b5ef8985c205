"""The naive shop, against which the matrix compares, does its work as long as nothing dies."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import urllib3
from celery import current_app
from django.core.management import call_command

from backroom.ledger.models import Job
from lab.faults.naive.pending import in_hand
from orders import audit
from tests.chaos.naive import NaiveHouse
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
ORDERS = 20


@pytest.fixture(scope="module")
def naive_house(django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[NaiveHouse]:
    with django_db_blocker.unblock():
        current_app.control.purge()
        urllib3.request("POST", f"{partners_process}/reset")
        call_command("seed", verbosity=0)
        house = NaiveHouse(tmp_path_factory.mktemp("naive"))
        try:
            house.start("web", "worker-critical", "worker-default", "worker-bulk")
            yield house
        finally:
            house.stop()
            current_app.control.purge()
            call_command("flush", interactive=False, verbosity=0, reset_sequences=False)


@pytest.fixture
def _django_db_helper() -> None:
    """As in tests/acceptance: other processes must see what is written."""


def test_it_does_everything_once_and_without_a_ledger_while_nothing_dies(naive_house: NaiveHouse):
    for _ in range(ORDERS):
        assert naive_house.order().json()["status"] == "paid"

    # What is left are the nets under the checkouts, due in a minute, which find nothing to do.
    def only_nets() -> bool:
        queued, held, _ = in_hand(naive_house.env["BROKER_URL"])
        return not queued and len(held) == ORDERS and {task for task, _ in held} == {"orders.settle_payment"}

    until(only_nets, 60, f"see {naive_house.logs}")
    report = audit.run()
    assert report.orders == ORDERS
    assert report.effects_found == report.effects_expected > ORDERS
    assert report.clean, report
    assert not Job.objects.exists()


def test_a_task_that_fails_is_tried_again(naive_house: NaiveHouse, partners_process: str):
    def asked() -> int:
        return urllib3.request("GET", f"{partners_process}/traffic").json()["analytics"]["requests"]

    desk, before = f"{partners_process}/faults/analytics", asked()
    urllib3.request("PUT", desk, json={"status": 503})
    naive_house.order()
    until(lambda: asked() > before)
    urllib3.request("PUT", desk, json={})
    until(lambda: audit.run().clean)


def test_it_refuses_to_load_in_production():
    env = {**os.environ, "DEBUG": "false", "DJANGO_SETTINGS_MODULE": "lab.faults.naive.settings"}
    done = subprocess.run([sys.executable, "manage.py", "check"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "never runs without DEBUG" in done.stderr
