"""The naive shop, with which the matrix compares, does all its work while nothing dies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import urllib3
from celery import current_app
from django.core.management import call_command

from backroom.ledger.models import Job
from lab.faults.naive import pending, processes
from orders.reconciliation import audit
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
ORDERS = 20


class NaiveCluster(Cluster):
    """The naive shop's processes: the same names, without a dispatcher."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs)
        self.env["DJANGO_SETTINGS_MODULE"] = processes.SETTINGS

    def commands(self) -> dict[str, list[str]]:
        return {process.name: process.command for process in processes.shop(self.env)}

    def ready(self, name: str, begin: datetime) -> bool:
        if name.startswith("worker-"):  # plain Celery's worker writes no heartbeat
            return " ready." in (self.logs / f"{name}.log").read_text()
        return super().ready(name, begin)


@pytest.fixture(scope="module")
def naive(django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[NaiveCluster]:
    with django_db_blocker.unblock():
        current_app.control.purge()
        urllib3.request("POST", f"{partners_process}/reset")
        call_command("seed", verbosity=0)
        cluster = NaiveCluster(tmp_path_factory.mktemp("naive"))
        try:
            cluster.start("web", "worker-critical", "worker-default", "worker-bulk")
            yield cluster
        finally:
            cluster.stop()
            current_app.control.purge()
            call_command("flush", interactive=False, verbosity=0, reset_sequences=False)


@pytest.fixture
def _django_db_helper() -> None:
    """As in tests/acceptance: other processes must see the tests' writes."""


def test_it_does_everything_once_and_without_a_ledger_while_nothing_dies(naive: NaiveCluster):
    for _ in range(ORDERS):
        assert naive.order().json()["status"] == "paid"

    # The checkouts' safety nets are due in a minute, and will have nothing to do.
    def only_nets() -> bool:
        queued, held = pending.messages(naive.env["BROKER_URL"])
        return not queued and len(held) == ORDERS and {task for task, _ in held} == {"orders.settle_payment"}

    until(only_nets, 60, f"see {naive.logs}")
    report = audit.run()
    assert report.orders == ORDERS
    assert report.effects_found == report.effects_expected > ORDERS
    assert report.clean, report
    assert not Job.objects.exists()


def test_a_failed_task_is_retried(naive: NaiveCluster, partners_process: str):
    def requests() -> int:
        return urllib3.request("GET", f"{partners_process}/traffic").json()["analytics"]["requests"]

    switches, before = f"{partners_process}/faults/analytics", requests()
    urllib3.request("PUT", switches, json={"status": 503})
    naive.order()
    until(lambda: requests() > before)
    urllib3.request("PUT", switches, json={})
    until(lambda: audit.run().clean)


def test_it_refuses_to_load_in_production():
    env = {**os.environ, "DEBUG": "false", "DJANGO_SETTINGS_MODULE": "lab.faults.naive.settings"}
    done = subprocess.run([sys.executable, "manage.py", "check"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "never runs without DEBUG" in done.stderr
