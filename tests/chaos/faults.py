"""Faults of processes: arm a failpoint, wait until the process hits it, send a signal. Servers: server_faults.py."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from django.db import connection
from django.db.models import Max
from django.db.models.functions import Now

from backroom import batch, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job
from backroom.runtime.lane import Lane
from lab.faults.failpoints import Hit
from lab.faults.stack import descendants, send
from orders import tasks
from orders.models import Order, Status
from orders.ordering import settlement
from tests.chaos.context import SLOT_IN, TIMEOUT, Context
from tests.waiting import until

Fault = Callable[[Context], None]
AFTER_TAKEOVER = 6.0  # seconds in which others may meet what a frozen process left
# At most these seconds until a frozen process continues:
NOT_TAKEN_OVER = 15.0  # without a ledger, as no other process takes over
SILENT = 25.0  # the whole process; its missing heartbeat is noticed sooner
NET = 100.0  # a web process; the checkout's safety net runs after a minute
LIMIT = 80.0  # a worker's child; a job's hard time limit, and a rescue


def at(process: str, boundary: str, number: Signals, target: str, match: str = "") -> Fault:
    """Stop a process at a boundary, and send a signal to it (child), to its main process, or to all of them."""

    def fault(context: Context) -> None:
        if boundary in IN_FLIGHT:
            point, partner = IN_FLIGHT[boundary]
            context.cluster.fault(partner, latency_ms=1500)
            hit = context.hit(point, process, match)
            hit.release()
            time.sleep(0.7)  # its request is in flight now, and the partner takes twice as long
        else:
            hit = context.hit(boundary, process, match)
        strike(context, hit, number, target)

    return fault


# While a partner has the request. It does the work also if the client is gone.
IN_FLIGHT = {"authorize in flight": ("after commit A", "payments"), "in the effect": ("after claim", "analytics")}


def strike(context: Context, hit: Hit, number: Signals, target: str) -> None:
    """Send the signal. A frozen process continues where it stopped, once others have done its work."""
    main = context.cluster.pid(hit.process)
    victims = {"child": [hit.pid], "main": [main], "only": [main], "all": descendants(main)}[target]
    context.strike()
    send(number, victims)
    context.cluster.heal()
    if number != SIGSTOP:
        time.sleep(0.5)  # the signal arrives before the process may continue
        hit.release()
        return
    longest = SILENT if target != "child" else LIMIT
    if hit.process == "web":
        longest = NET
    elif not context.cluster.ledgered:
        longest = NOT_TAKEN_OVER
    if not context.wait(context.taken_over(hit), longest):
        context.notes.append(f"continued after {longest:g} s, before others did its work")
    time.sleep(AFTER_TAKEOVER)
    hit.release()
    send(SIGCONT, victims)


def dispatching(boundary: str, number: Signals) -> Fault:
    """Interrupt the dispatcher while it publishes retries."""

    def fault(context: Context) -> None:
        if boundary == "rows locked":
            return in_the_statement(context, number)
        with context.frozen("dispatcher-2"):
            armed = context.arm(boundary, "dispatcher")
            context.due_jobs()
            hit = armed.wait(TIMEOUT)
        strike(context, hit, number, "only")

    return fault


def in_the_statement(context: Context, number: Signals) -> None:
    """The rows stay locked until PostgreSQL's lock_timeout. A second dispatcher is frozen until they are locked."""
    with context.statements_held() as held:
        with context.frozen("dispatcher-2"):
            context.due_jobs()
            hit = until(held, 30, "the dispatcher in its statement")
        strike(context, hit, number, "only")
        context.wait(lambda: not held(), 8)


def firing(boundary: str, number: Signals) -> Fault:
    """Interrupt beat while it runs a slot. A second beat finds the slot due, too."""

    def fault(context: Context) -> None:
        with context.frozen("beat-2"):
            armed = context.arm(boundary, "beat", "sales_report")
            context.slot()
            hit = armed.wait(TIMEOUT)
        strike(context, hit, number, "only")

    return fault


def two_beats(context: Context) -> None:
    """Two beats, and no other fault."""
    context.strike()
    for _ in range(3):
        context.slot()
    time.sleep(SLOT_IN)
    context.recover()


def two_dispatchers(context: Context) -> None:
    """Two dispatchers, and no other fault."""
    context.strike()
    context.due_jobs()


def poison(action: str) -> Fault:
    """A job kills its worker in each of its three attempts, and is a dead letter. Then an operator replays it."""

    def fault(context: Context) -> None:
        hit = context.hit("after claim", "worker-bulk", "analytics")
        (id,) = context.ids(hit)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE backroom_job SET max_attempts = 3 WHERE id = %s", [id])
        context.strike()
        send(SIGKILL, [hit.pid])
        for _ in range(2):
            context.arm("after claim", "worker-bulk", id, action).wait(TIMEOUT)
        until(lambda: Job.objects.filter(id=id, state="dead", attempts=3).exists(), 30, "a dead letter")
        neighbours = Job.objects.filter(task="orders.send_analytics").exclude(id=id).exclude(state__in=LIVE)
        assert not neighbours.exclude(state="succeeded").exists()
        operations.replay([id])
        context.recover()

    return fault


def in_order(process: str, boundary: str, match: str, target: str) -> Fault:
    """Kill a process that has the only place of a lane: its job, or the job's message. The reports behind it wait."""

    def fault(context: Context) -> None:
        armed = context.arm(boundary, process, match)
        first = date(1900, 1, 1) + timedelta(days=int(time.time()) % 30_000)  # each row has days of its own
        days = [str(first + timedelta(days=number)) for number in range(4)]
        calls = [tasks.mail_sales_report.call(day) for day in days]
        ids = enqueue_all(*[replace(call, lane=Lane("order:reports", 1, dead_blocks=True)) for call in calls])
        context.mails += [f"sales-report:{day}" for day in days]
        strike(context, armed.wait(TIMEOUT), SIGKILL, target)
        jobs = Job.objects.filter(id__in=ids, state="succeeded")
        until(lambda: jobs.count() == len(ids), TIMEOUT, "all reports")
        assert [str(job.id) for job in jobs.order_by("started_at")] == ids, "a report overtook another one"
        assert all(one.finished_at < two.started_at for one, two in pairwise(jobs.order_by("id"))), "two at once"

    return fault


def cut_off(number: Signals, target: str) -> Fault:
    """A job that goes through unpaid orders, in the step of the first; then it goes on where it was."""

    def fault(context: Context) -> None:
        context.cluster.fault("payments", hang=True)
        placed = Order.objects.filter(status=Status.PLACED)
        until(lambda: placed.count() >= 3, TIMEOUT, "three unpaid orders")
        placed.update(created_at=Now() - 2 * settlement.UNPAID_LIMIT)
        armed = context.arm("in a step of a resumable job", "worker-default")
        id = tasks.release_unpaid.enqueue()
        strike(context, armed.wait(TIMEOUT), number, target)
        until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), TIMEOUT, "the job's end")
        job = Job.objects.get(id=id)
        used = 1 if number == SIGTERM else 2  # a deploy uses no attempt
        assert (job.attempts, job.claims) == (used, 2), (job.attempts, job.claims)

    return fault


def of_a_batch(process: str, boundary: str, target: str, which: int) -> Fault:
    """Kill a process that has a batch's last member in its hands, or the message of its callback."""

    def fault(context: Context) -> None:
        first = date(1990, 1, 1) + timedelta(days=int(time.time()) % 9_000)  # each row has days of its own
        days = [str(first + timedelta(days=number)) for number in range(4)]
        armed = context.arm(boundary, process, days[which])
        *members, then = [tasks.mail_sales_report.call(day) for day in days]
        id = batch(members, then=then)
        context.mails += [f"sales-report:{day}" for day in days]
        strike(context, armed.wait(TIMEOUT), SIGKILL, target)
        until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), TIMEOUT, "the callback")
        ended = Job.objects.filter(batch_id=id).aggregate(Max("finished_at"))["finished_at__max"]
        assert ended < Job.objects.get(id=id).started_at, "the callback overtook a member"

    return fault


def long_job(context: Context) -> None:
    """A live worker runs a job for 45 s."""
    hit = context.hit("after claim", "worker-bulk", "analytics")
    (id,) = context.ids(hit)
    time.sleep(45)
    job = Job.objects.get(id=id)
    assert (job.state, job.claims) == ("running", 1), (job.state, job.claims)
    context.strike()
    hit.release()
