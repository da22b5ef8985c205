"""A long job keeps its progress when its worker is killed, and the next attempt reports its own."""

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
    until(lambda: has_progress(id, claim=1), what="the first attempt reported progress")
    house.kill("worker-bulk")
    house.start("worker-bulk")
    until(lambda: has_progress(id, claim=2), what="the second attempt reported progress")
    staff, _ = User.objects.get_or_create(username="chief of the report", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(staff)
    page = text(client.get(f"/ops/jobs/{id}/"))
    assert "Attempt 2 100 %" in page
    assert "its process died" in page
    fault(partners, "mail")
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists())


def has_progress(id: str, claim: int) -> bool:
    return Progress.objects.filter(job_id=id, claim=claim, done__gt=0, ended=False).exists()
