"""The probes of real processes: killed or frozen, each is found out within the time that docs/signals.md states."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from backroom.ledger.models import Heartbeat
from backroom.ledger.rescue import SILENCE
from stack.supervisor import CHECKOUT
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

ASKED = {
    "worker-bulk": ["worker", "bulk"],
    "worker-default": ["worker", "default"],
    "dispatcher": ["dispatcher"],
    "beat": ["beat"],
}


def lives(house: Cluster, name: str) -> bool:
    command = [sys.executable, "probe.py", *ASKED[name]]
    return subprocess.run(command, cwd=CHECKOUT, env=house.env, capture_output=True).returncode == 0


def test_a_process_that_is_killed_or_frozen_is_found_out_in_time_and_passes_when_it_is_well(house: Cluster):
    begin = timezone.now()
    house.start("beat")
    until(lambda: Heartbeat.objects.filter(role="beat", seen_at__gt=begin).exists())
    until(lambda: all(lives(house, name) for name in ASKED))
    house.kill("dispatcher")
    house.kill("worker-bulk")
    frozen = [house.processes[name] for name in ("beat", "worker-default")]
    for process in frozen:
        os.killpg(process.pid, signal.SIGSTOP)
    asked = Q(role__in=["dispatcher", "beat"]) | Q(queues__in=["bulk", "default"])
    heard = Heartbeat.objects.filter(asked, seen_at__gt=Now() - timedelta(seconds=SILENCE))
    try:
        until(lambda: not heard.exists())
        assert not any(lives(house, name) for name in ASKED)
    finally:
        for process in frozen:
            os.killpg(process.pid, signal.SIGCONT)
    house.start("dispatcher", "worker-bulk")
    until(lambda: all(lives(house, name) for name in ASKED))
