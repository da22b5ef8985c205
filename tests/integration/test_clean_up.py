"""The clean-up of each night: a job for each kind, once a slot, and nothing that is still of use."""

import pytest
from django.contrib.auth.models import User

from accounts import tasks as mails
from accounts.models import FormerAddress
from backroom.ledger.models import Job, State
from backroom.testing import run_jobs
from shop import clean_up, tasks
from shop.schedule import SCHEDULE

pytestmark = pytest.mark.django_db


def test_each_sweep_is_a_job_of_its_own_once_a_slot():
    for _ in range(2):
        tasks.clean_up.enqueue("2026-12-01T03:30:00+00:00")
    run_jobs()
    jobs = Job.objects.filter(task="shop.sweep", state=State.SUCCEEDED)
    assert sorted(jobs.values_list("key", flat=True)) == sorted(f"sweep:{kind}-2026-12-01" for kind in clean_up.SWEEPS)


def test_it_runs_each_night_so_that_no_file_of_a_killed_export_stays_for_long():
    assert len(SCHEDULE["clean up"]["schedule"].day_of_month) == 31


def test_a_former_address_is_kept_while_a_job_may_still_mail_it():
    user = User.objects.create_user("u")
    kept, _ = (FormerAddress.objects.create(user=user, email=f"{each}@example.com") for each in "ab")
    mails.mail_address_changed.enqueue(kept.pk)
    assert clean_up.SWEEPS["former-addresses"]() == 1
    assert list(FormerAddress.objects.all()) == [kept]
