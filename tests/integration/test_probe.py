"""`probe.py`, as a container's health check runs it."""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

import probe
from backroom.ledger import rescue
from backroom.ledger.models import Heartbeat
from backroom.ops.rules import BY_NAME
from tests.integration.heartbeats import process, worker_beats

pytestmark = pytest.mark.django_db(transaction=True)

PROBE = Path(__file__).parents[2] / "probe.py"
HERE = socket.gethostname()
LIVES, SILENT, UNKNOWN = 0, 1, 2


def ask(*arguments: str, url: str = "") -> tuple[int, str]:
    """Its exit status and what it says."""
    ours = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    env = {**os.environ, "DATABASE_URL": url or ours}
    done = subprocess.run([sys.executable, str(PROBE), *arguments], env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def fresh() -> None:
    """Let no heartbeat of the last seconds grow old while a busy machine starts the probe."""
    Heartbeat.objects.filter(seen_at__gt=timezone.now() - timedelta(seconds=rescue.SILENCE)).update(
        seen_at=timezone.now() + timedelta(minutes=10)
    )


@pytest.fixture
def other() -> None:
    """A process elsewhere, whose heartbeats come."""
    worker_beats("other@elsewhere/0123abcd", "other", [])
    fresh()


def test_a_process_is_alive_for_ten_seconds_after_a_heartbeat(other):
    assert ask("dispatcher") == (SILENT, f"no heartbeat of dispatcher on {HERE}\n")
    process("dispatcher")
    fresh()
    assert ask("dispatcher")[0] == LIVES
    assert ask("beat")[0] == SILENT
    Heartbeat.objects.exclude(role="worker").update(seen_at=timezone.now() - timedelta(seconds=rescue.SILENCE + 1))
    assert ask("dispatcher")[0] == SILENT


def test_the_probe_has_the_limits_of_the_alert_rules():
    limits = {name.removesuffix("-silent"): rule.over for name, rule in BY_NAME.items() if name.endswith("-silent")}
    assert {"worker": rescue.SILENCE, **limits} == probe.SILENT


def test_a_worker_is_found_by_its_machine_and_its_queue(other):
    worker_beats(f"bulk@{HERE}/0123abcd", "bulk,default", [])
    worker_beats("critical@elsewhere/0123abcd", "critical", [])
    fresh()
    assert ask("worker")[0] == ask("worker", "default")[0] == LIVES
    assert ask("worker", "critical")[0] == SILENT
    assert ask("worker", "critical", "--host=elsewhere")[0] == LIVES
    Heartbeat.objects.exclude(queues="other").update(seen_at=timezone.now() - timedelta(seconds=rescue.SILENCE + 1))
    assert ask("worker")[0] == SILENT
    worker_beats(f"bulk@{HERE}/4567cdef", "bulk,default", [])  # restarted
    fresh()
    assert ask("worker")[0] == LIVES


def test_where_no_process_is_heard_the_database_takes_no_heartbeat_and_a_restart_would_not_help():
    """Else Kubernetes would end all pods at once, and none could start."""
    process("dispatcher")
    Heartbeat.objects.update(seen_at=timezone.now() - timedelta(seconds=rescue.SILENCE + 1))
    status, says = ask("dispatcher")
    assert (status, says.endswith("does the database take writes?\n")) == (UNKNOWN, True)


def test_where_the_database_can_not_be_asked_it_says_so_and_not_that_a_process_is_dead():
    process("beat")
    assert ask("beat", url="postgres://user:none@127.0.0.1:9/none") == (
        UNKNOWN,
        "unknown: the database can't be read (OperationalError)\n",
    )
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        assert ask("beat", url=f"postgres://a:b@127.0.0.1:{hangs.getsockname()[1]}/c")[0] == UNKNOWN
