"""How often is a mail sent twice? A measurement with real workers, not a test: `make mail-instant` (KILLS=1000).

SMTP has no idempotency keys, so a worker that dies between the server's 250 and the commit of its finish causes a
second mail. Each worker process (a prefork child that sends mail after mail) is killed once, a random time after a 250:
  aimed     within 10 ms, which contains the instant
  anywhere  within 400 ms, when most have begun their next mail
"""

import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest
import urllib3
from celery import current_app
from django.db.models import Avg, F, QuerySet

from backroom import enqueue_all
from backroom.ledger.models import Job
from orders.models import Invoice
from tests import truncate
from tests.chaos.smtp_proxy import Proxy
from tests.cluster import Cluster
from tests.integration.paid_orders import call_of, paid_order
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("KILLS", "1000"))
CHILDREN = 4
MS = timedelta(milliseconds=1)
MAILS = 3  # per kill, so that no child is idle
PDF = b"%PDF-1.7 " + b"0" * 40_000  # as long as an invoice is


class Senders(Cluster):
    """Workers of the queue with the mails. Each child dies after one of its mails."""

    def __init__(self, logs, mail: tuple[str, int]) -> None:
        super().__init__(logs)
        self.proxy = Proxy(mail, self.child_at, self.accepted)
        self.env["EMAIL_URL"] = f"smtp://127.0.0.1:{self.proxy.port}"
        self.window = 0.0  # ms after a 250 within which its sender is killed; 0: not at all
        self.victims = set[int]()  # children that were chosen
        self.accepted_at: dict[str, float] = {}  # by the mail's key
        self.delays: list[float] = []  # ms from each 250 to the kill of its sender

    def commands(self) -> dict[str, list[str]]:
        return {
            name: [f"--concurrency={CHILDREN}" if word.startswith("--concurrency") else word for word in command]
            for name, command in super().commands().items()
        }

    def child_at(self, port: int) -> int:
        """The worker's child that owns this port; 0 if it is gone."""
        for child in psutil.Process(self.processes["worker-critical"].pid).children():
            try:
                if any(end.laddr.port == port for end in child.net_connections("tcp")):
                    return child.pid
            except psutil.Error:
                continue
        return 0

    def accepted(self, sender: int, name: str, moment: float) -> None:
        """The proxy calls this right after a 250: kill the sender a random moment later."""
        self.accepted_at[name.replace(".", ":")] = moment
        if not (sender and self.window) or sender in self.victims or len(self.victims) >= KILLS:
            return
        self.victims.add(sender)
        time.sleep(max(0.0, moment + random.uniform(0, self.window) / 1000 - time.time()))
        os.kill(sender, signal.SIGKILL)
        self.delays.append((time.time() - moment) * 1000)


@pytest.fixture
def _django_db_helper() -> None:
    """As in tests/acceptance: other processes must see the tests' writes."""


@pytest.fixture(scope="module")
def senders(django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[Senders]:
    with django_db_blocker.unblock():
        current_app.control.purge()
        cluster = Senders(tmp_path_factory.mktemp("senders"), ("127.0.0.1", int(os.environ["SMTP_PORT"])))
        try:
            cluster.start("worker-critical", "dispatcher")
            yield cluster
        finally:
            cluster.stop()
            truncate.tables()


def enqueue(mails: int) -> set[str]:
    """Make paid orders with invoices, and the jobs that mail their receipts. Returns the jobs' keys."""
    numbers = [paid_order().number for _ in range(mails)]
    Invoice.objects.bulk_create(Invoice(order_id=number, pdf=PDF) for number in numbers)
    enqueue_all(*[call_of("receipt", number) for number in numbers])
    return {f"receipt:{number}" for number in numbers}


def kill_senders(senders: Senders, window: float, partners: str) -> None:
    """Send mails until KILLS senders were killed and all mails are sent. Prints how many were sent again."""
    senders.window = 0
    senders.victims.clear()
    senders.delays.clear()
    keys = enqueue(MAILS * KILLS)
    senders.window = window  # from now on this process is idle, or kills would come late
    while len(senders.delays) < KILLS:
        time.sleep(0.5)
        assert unsent(keys).exists(), "too few mails for the kills"
    until(lambda: not unsent(keys).exists(), 600, f"see {senders.logs}")
    effects = urllib3.request("GET", f"{partners}/effects?partner=mail").json()["effects"]
    received = {effect["key"]: effect["count"] for effect in effects if effect["key"] in keys}
    never, again = len(keys - received.keys()), sum(received.values()) - len(received)
    print_instants(senders, keys)
    took = Job.objects.filter(key__in=keys).aggregate(took=Avg(F("finished_at") - F("started_at")))["took"]
    print(
        f"{KILLS} kills {statistics.mean(senders.delays):.1f} ms (mean) after a 250; jobs of {took / MS:.0f} ms (mean)"
    )
    print(f"{len(keys)} mails: {never} never sent, {again} sent again, which is {again / KILLS:.1%} of the kills")
    assert never == 0


def print_instants(senders: Senders, keys: set[str]) -> None:
    """Print the time from the 250 to the finish's statement, without the commit, of mails whose sender lived."""
    finished = dict(Job.objects.filter(key__in=keys, claims=1).values_list("key", "finished_at"))
    instants = sorted((moment.timestamp() - senders.accepted_at[key]) * 1000 for key, moment in finished.items())
    median, last = instants[len(instants) // 2], instants[int(len(instants) * 0.99)]
    print(f"\n{len(instants)} mails without a kill: finished {median:.1f} ms after the 250 (99 %: {last:.1f} ms)")


def unsent(keys: set[str]) -> QuerySet[Job]:
    return Job.objects.filter(key__in=keys).exclude(state="succeeded")


def test_kills_aimed_at_the_instant_between_the_250_and_the_commit(senders: Senders, partners_process: str):
    kill_senders(senders, 10, partners_process)


def test_kills_at_any_moment_of_sending(senders: Senders, partners_process: str):
    kill_senders(senders, 400, partners_process)
