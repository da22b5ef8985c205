"""Processes that die, and a broker that freezes or loses its data."""

import threading
from signal import SIGKILL

from django.db import connection

from backroom.ledger.models import Job
from lab.checks import Check, complete, lost, nothing_missing, slow_response, something_lost
from lab.context import Context
from lab.faults.stack import send

FREEZE = 5  # seconds


def kill_worker(context: Context) -> Check:
    """SIGKILL to a worker's child that has just claimed a shipment."""
    armed = context.arm("after claim", "worker-default", "shipment")
    context.buy()
    hit = armed.wait(20)
    number = context.order_at(hit)
    context.show(f"A worker process has begun the shipment of order {number}: SIGKILL.")
    send(SIGKILL, [hit.pid])
    return complete(
        context,
        "Attempt 2 of the job did the shipment, once.",
        lambda: Job.objects.filter(key=f"shipment:{number}", attempts=2).exists(),
        naive=lost(f"shipment:{number}"),
        checklist=nothing_missing,
    )


def kill_web(context: Context) -> Check:
    """SIGKILL to all web processes between the commit of a paid order and the publishing of its jobs."""
    armed = context.arm("after commit B", "web")
    customer = threading.Thread(target=buy_in_thread, args=[context])
    customer.start()
    hit = armed.wait(20)
    context.show("An order is charged and committed, and its jobs are not yet published: SIGKILL to the web server.")
    context.stack.kill(context.stack.name("web"))
    customer.join()
    number = context.order_at(hit)
    context.show(f"It was order {number}. Its customer got no response.")
    nothing_else = lost(*(f"{kind}:{number}" for kind in ("invoice", "receipt", "shipment")))
    return complete(context, f"Order {number} is paid, invoiced, mailed and shipped.", naive=nothing_else)


def buy_in_thread(context: Context) -> None:
    """Order, and close the thread's own database connection."""
    try:
        context.buy()
    finally:
        connection.close()


def freeze_broker(context: Context) -> Check:
    """SIGSTOP, three orders, SIGCONT."""
    context.stack.freeze_broker()
    context.show("The broker is frozen (SIGSTOP): it keeps its connections and stops answering.")
    # On a timer: without a limit on publishing, the orders below wait for the broker.
    thaw = threading.Timer(FREEZE, context.stack.thaw)
    thaw.start()
    try:
        context.buy_all(3)
        context.wait(lambda: not thaw.is_alive(), "the end of the freeze")
    finally:
        thaw.cancel()
    context.show("The broker continues (SIGCONT).")
    return complete(context, "The jobs were in the ledger, and ran when the broker was back.", naive=slow_response)


def flush_broker(context: Context) -> Check:
    """FLUSHALL while messages wait."""
    # Plain Celery's workers prefetch eight messages, which FLUSHALL does not reach.
    latency, orders = (1500, 5) if context.ledgered else (4000, 15)
    context.stack.fault("analytics", latency_ms=latency)
    context.buy_all(orders)
    context.wait(lambda: context.stack.queued("bulk") >= 3, "messages in the broker")
    waiting = context.stack.queued("bulk")
    context.stack.flush_broker()
    context.show(f"FLUSHALL deleted {waiting} messages.")
    context.stack.fault("analytics")
    return complete(context, "The dispatcher published the jobs again.", naive=something_lost)
