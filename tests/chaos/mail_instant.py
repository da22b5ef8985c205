"""How often is a mail sent twice? Measured with real workers, not a test: `make mail-instant` (KILLS=1000).

SMTP has no idempotency, so a worker that dies between the server's 250 and the commit of its finish makes us send the
mail again. Here the process that sends is killed on purpose:
  aimed      at a random moment of the first WINDOW ms after its mail's 250, once for each mail
  anywhere   at random moments of workers that do nothing but send mails
"""

import os
import random
import signal
import time
from collections.abc import Iterator

import psutil
import pytest
import urllib3
from celery import current_app
from django.core.management import call_command

from jobs import enqueue_all
from jobs.models import Job
from orders import tasks
from orders.models import Invoice
from tests.chaos.smtp_proxy import Proxy
from tests.house import House
from tests.integration.paid_orders import paid_order
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("KILLS", "1000"))
WINDOW = 10.0  # ms
CHILDREN = 8
PDF = b"%PDF-1.7 " + b"0" * 40_000  # as long as an invoice is


class Senders(House):
    """Workers of the queue that mails are in, and what kills them."""

    def __init__(self, logs, mail: tuple[str, int]) -> None:
        super().__init__(logs)
        self.proxy = Proxy(mail, self.child_at, self.accepted)
        self.env["EMAIL_URL"] = f"smtp://127.0.0.1:{self.proxy.port}"
        self.aim = False
        self.first = set[str]()
        self.kills = 0

    def commands(self) -> dict[str, list[str]]:
        return {
            name: [f"--concurrency={CHILDREN}" if word.startswith("--concurrency") else word for word in command]
            for name, command in super().commands().items()
        }

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.processes["worker-critical"].pid).children()

    def child_at(self, port: int) -> int:
        """The worker's child that this port belongs to; 0 if it is gone."""
        for child in self.children():
            try:
                if any(end.laddr.port == port for end in child.net_connections("tcp")):
                    return child.pid
            except psutil.Error:
                continue
        return 0

    def accepted(self, sender: int, key: str) -> None:
        """Called in the instant after a 250 went out: kill its sender a random moment later, if this is its first."""
        if self.aim and key not in self.first and sender:
            self.first.add(key)
            time.sleep(random.uniform(0, WINDOW) / 1000)
            self.kill_child(sender)

    def kill_child(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
        except ProcessLookupError:
            pass


@pytest.fixture
def _django_db_helper() -> None:
    """As in tests/acceptance: other processes must see what is written."""


@pytest.fixture(scope="module")
def senders(django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[Senders]:
    with django_db_blocker.unblock():
        current_app.control.purge()
        house = Senders(tmp_path_factory.mktemp("senders"), ("127.0.0.1", int(os.environ["SMTP_PORT"])))
        try:
            house.start("worker-critical", "dispatcher")
            yield house
        finally:
            house.stop()
            call_command("flush", interactive=False, verbosity=0, reset_sequences=False)


def enqueue(mails: int) -> set[str]:
    """Paid orders with their invoices, and the jobs that mail the receipts; the keys of these."""
    numbers = [paid_order().number for _ in range(mails)]
    Invoice.objects.bulk_create(Invoice(order_id=number, pdf=PDF) for number in numbers)
    enqueue_all(*[tasks.mail_receipt.call(number) for number in numbers])
    return {f"receipt:{number}" for number in numbers}


def report(senders: Senders, what: str, keys: set[str], partners: str) -> None:
    until(lambda: not alive(keys), 300, f"see {senders.logs}")
    effects = urllib3.request("GET", f"{partners}/effects?partner=mail").json()["effects"]
    received = {effect["key"]: effect["count"] for effect in effects if effect["key"] in keys}
    never, again = len(keys - received.keys()), sum(received.values()) - len(received)
    share = again / senders.kills
    print(f"\n{what}: {senders.kills} kills, {len(keys)} mails: {never} never sent, {again} sent again ({share:.1%})")
    if senders.aim:
        print(f"the instant lasts about {share * WINDOW:.2f} ms of the {WINDOW:g} ms after the 250")
    assert never == 0


def alive(keys: set[str]) -> int:
    return Job.objects.filter(key__in=keys).exclude(state="succeeded").count()


def test_kills_aimed_at_the_instant_between_the_250_and_the_commit(senders: Senders, partners_process: str):
    senders.aim, senders.kills = True, 0
    keys = enqueue(KILLS)
    report(senders, f"aimed at 0-{WINDOW:g} ms after the 250", keys, partners_process)


def test_kills_at_any_moment_of_sending(senders: Senders, partners_process: str):
    senders.aim, senders.kills = False, 0
    keys = set[str]()
    while senders.kills < KILLS:
        if alive(keys) < 100:
            keys |= enqueue(200)
        time.sleep(random.uniform(0, 0.2))
        if children := senders.children():
            senders.kill_child(random.choice(children).pid)
    report(senders, "at any moment", keys, partners_process)
