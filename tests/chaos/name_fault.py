"""The fault of a process that takes a unique name."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from backroom.ledger import sql
from backroom.ledger.models import Job
from backroom.tasks import purge
from tests.chaos.context import TIMEOUT, Context
from tests.waiting import until

SETTINGS = {"DJANGO_SETTINGS_MODULE": "shop.settings"}
TAKE_A_NAME = """
import time, django
django.setup()
from django.db import transaction
from backroom.tasks import purge
with transaction.atomic():
    print(purge.using(unique=("chaos", "while waiting")).enqueue(), flush=True)
    time.sleep(600)
"""
WAITS_FOR_A_NAME = """
SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%INSERT INTO backroom_unique%%'
"""


def name_taken(context: Context) -> None:
    """A process dies with a unique name that it took and has not committed, while another one waits for the name."""

    def newcomer() -> str:
        try:
            return purge.using(unique=("chaos", "while waiting")).enqueue()
        finally:
            connection.close()

    command, env = [sys.executable, "-c", TAKE_A_NAME], context.cluster.env | SETTINGS
    with ThreadPoolExecutor(1) as pool, subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as dying:
        try:
            first = dying.stdout.readline().strip() if dying.stdout else ""
            second = pool.submit(newcomer)
            until(lambda: sql.rows(WAITS_FOR_A_NAME), TIMEOUT, "a wait for the name")
            context.strike()
        finally:
            dying.kill()
        id = second.result(TIMEOUT)
    assert id != first
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), TIMEOUT, "the job that took the name")
    assert not Job.objects.filter(id=first).exists()
    context.recover()
