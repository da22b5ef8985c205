"""A long job whose worker is killed: how far it was is known, and its next attempt says so itself."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from backroom.ledger.models import Job
from backroom.observe.models import Progress
from orders.tasks import mail_sales_report
from tests.acceptance.conftest import fault, in_state
from tests.cluster import Cluster
from tests.integration.staff import text
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def test_after_a_kill_the_bar_begins_anew_and_says_attempt_2(house: Cluster, partners: str):
    number = house.order().json()["number"]
    until(in_state(f"receipt:{number}", "succeeded"))
    fault(partners, "mail", latency_ms=4500)
    id = mail_sales_report.enqueue(f"{datetime.now(UTC):%Y-%m-%d}")
    until(lambda: told(id, claim=1), what="the first attempt told how far it is")
    house.kill("worker-bulk")
    house.start("worker-bulk")
    until(lambda: told(id, claim=2), 40, what="the second attempt told how far it is")
    staff, _ = User.objects.get_or_create(username="chief of the report", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(staff)
    page = text(client.get(f"/ops/jobs/{id}/"))
    assert "Attempt 2 100 %" in page
    assert "its process died" in page
    fault(partners, "mail")
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), 60)


def told(id: str, claim: int) -> bool:
    return Progress.objects.filter(job_id=id, claim=claim, done__gt=0, ended=False).exists()
