"""The shops without a ledger, with which the matrix compares, do all their work while nothing dies."""

import os
import re
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
from lab.faults import CHECKLIST, NAIVE
from lab.faults.naive import pending, processes
from orders.reconciliation import audit
from tests import truncate
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]
ORDERS = 20


class NaiveCluster(Cluster):
    """The processes of a shop without a ledger: the same names, without a dispatcher."""

    def __init__(self, logs: Path, shop: str) -> None:
        super().__init__(logs)
        self.env["DJANGO_SETTINGS_MODULE"] = processes.SETTINGS[shop]

    def commands(self) -> dict[str, list[str]]:
        return {process.name: process.command for process in processes.shop(self.env)}

    def ready(self, name: str, begin: datetime) -> bool:
        if name.startswith("worker-"):  # plain Celery's worker writes no heartbeat
            return " ready." in (self.logs / f"{name}.log").read_text()
        return super().ready(name, begin)


@pytest.fixture(scope="module", params=[NAIVE, CHECKLIST])
def naive(django_db_setup, django_db_blocker, partners_process, tmp_path_factory, request) -> Iterator[NaiveCluster]:
    with django_db_blocker.unblock():
        current_app.control.purge()
        urllib3.request("POST", f"{partners_process}/reset")
        call_command("seed", verbosity=0)
        cluster = NaiveCluster(tmp_path_factory.mktemp(request.param), request.param)
        try:
            cluster.start("web", "worker-critical", "worker-default", "worker-bulk")
            yield cluster
        finally:
            cluster.stop()
            current_app.control.purge()
            truncate.tables()


@pytest.fixture
def _django_db_helper() -> None:
    """As in tests/acceptance: other processes must see the tests' writes."""


@pytest.mark.slow
def test_it_does_everything_once_and_without_a_ledger_while_nothing_dies(naive: NaiveCluster):
    for _ in range(ORDERS):
        assert naive.order().json()["status"] == "paid"

    # The checkouts' safety nets are due in a minute, and will have nothing to do.
    def only_nets() -> bool:
        queued, held, unacked = pending.messages(naive.env["BROKER_URL"])
        tasks = [message.task for message in held]
        return not (queued or unacked) and tasks == ["orders.settle_payment"] * ORDERS

    until(only_nets, 60, f"see {naive.logs}")
    report = audit.run()
    assert report.orders == ORDERS
    assert report.effects_found == report.effects_expected > ORDERS
    assert report.clean, report
    assert not Job.objects.exists()


@pytest.mark.slow
def test_a_failed_task_is_retried(naive: NaiveCluster, partners_process: str):
    def requests() -> int:
        return urllib3.request("GET", f"{partners_process}/traffic").json()["analytics"]["requests"]

    switches, before = f"{partners_process}/faults/analytics", requests()
    urllib3.request("PUT", switches, json={"status": 503})
    naive.order()
    until(lambda: requests() > before)
    urllib3.request("PUT", switches, json={})
    until(lambda: audit.run().clean)


@pytest.mark.slow
def test_each_page_says_that_there_is_no_ledger(naive: NaiveCluster):
    for path in ("/", "/products/", "/cart/", "/ops/", "/admin/", "/api/docs", "/no-such-page/"):
        text = urllib3.request("GET", f"{naive.site}{path}").data.decode()
        assert re.search(r"<body[^>]*><link [^>]+>\n<p [^>]+><b>Plain Celery with its [^<]+, no ledger", text), path


@pytest.mark.parametrize("settings", processes.SETTINGS.values(), ids=processes.SETTINGS)
def test_it_refuses_to_load_in_production(settings):
    env = {**os.environ, "DEBUG": "false", "DJANGO_SETTINGS_MODULE": settings}
    done = subprocess.run([sys.executable, "manage.py", "check"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "never runs without DEBUG" in done.stderr
