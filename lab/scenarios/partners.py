"""Partners that are slow, fail, hang, or limit the rate of requests."""

import time

from backroom.ledger.models import Attempt, Job
from lab.checks import Check, breaker_state, complete
from lab.context import Context, NotSeen
from lab.faults import NAIVE

SHIPMENT = "orders.request_shipment"
CONCURRENCY = 2  # of a worker
RETRY_AFTER = 2  # seconds, as the warehouse answers with its 429
BEFORE = ("orders.review_fraud", "orders.capture_payment")  # an order's earlier tasks on the same worker


def slow_partner(context: Context) -> Check:
    """Two seconds for each request."""
    context.stack.fault("warehouse", latency_ms=2000)
    context.show("The warehouse takes two seconds for each request.")
    context.buy_all(3)
    if context.variant == NAIVE:
        context.wait(lambda: prefetched(context.held()), "a worker prefetches more than it can run", 10)
        context.show("Shipments occupy both processes of the worker. The messages that it prefetched wait behind them.")
    return complete(context, "Each shipment took two seconds in the background.")


def prefetched(held: list[str]) -> bool:
    """Whether messages wait in a worker while its processes run shipments."""
    shipments = held.count(SHIPMENT)
    return shipments >= CONCURRENCY and shipments + sum(task in BEFORE for task in held) > CONCURRENCY


def failing_partner(context: Context) -> Check:
    """503 until the breaker is open, then normal answers."""
    stack = context.stack
    stack.fault("warehouse", status=503)
    context.show("The warehouse answers 503 to every request.")
    before = stack.requests("warehouse")
    context.buy_all(6)
    if not context.ledgered:
        context.wait(lambda: stack.requests("warehouse") > before + 6, "each task retries")
        context.show(f"{context.held().count(SHIPMENT)} shipments wait for their retry in a worker's memory.")
    else:
        context.wait(lambda: breaker_state("warehouse") == "open", "the breaker opens")
        context.show("Five orders failed, so the circuit breaker is open: requests to the warehouse stop.")
    count = stack.requests("warehouse")
    context.rest(1.5)
    meanwhile = stack.requests("warehouse") - count
    if context.ledgered and meanwhile > 2:  # a call in progress when the breaker opened, and a probe
        raise NotSeen(f"the warehouse got {meanwhile} requests in 1.5 s although its breaker was open")
    stack.fault("warehouse")
    context.show(f"The warehouse works again. It got {meanwhile} requests in the last 1.5 s.")
    return complete(context, "The first success closed the breaker. Each order was shipped once.")


def hanging_partner(context: Context) -> Check:
    """Requests without a response."""
    context.stack.fault("analytics", hang=True)
    context.show("Analytics accepts requests and never answers.")
    context.buy_all(2)
    others = [f"{kind}:{one.number}" for one in context.placed for kind in ("receipt", "shipment")]
    context.wait(lambda: all(context.stack.effects(key) for key in others), "receipts and shipments")
    context.show("Meanwhile the receipts were mailed and the parcels shipped: they have other workers.")
    if not context.ledgered:
        context.rest(5)
    else:
        keys = [f"analytics:{one.number}" for one in context.placed]
        attempts = Attempt.objects.filter(job_id__in=Job.objects.filter(key__in=keys).values("id"))
        context.wait(attempts.exists, "the timeout ends an attempt")
        context.show("The timeout ended the first attempt after five seconds. Its worker is free again.")
    context.stack.fault("analytics")
    return complete(context, "Analytics got one event per order.")


def limiting_partner(context: Context) -> Check:
    """429 with Retry-After."""
    requests = context.stack.requests
    context.stack.fault("warehouse", status=429)
    context.show(f"The warehouse answers 429 with Retry-After: {RETRY_AFTER}.")
    before, begin = requests("warehouse"), time.monotonic()
    context.buy_all(4)
    context.wait(lambda: requests("warehouse") > before, "a request to the warehouse")
    context.rest(3)
    count = requests("warehouse") - before
    if not context.ledgered and count < 4:
        raise NotSeen(f"four tasks sent {count} requests, so they share the limit")
    rounds = 1 + int((time.monotonic() - begin) / RETRY_AFTER)  # on a slow machine more than three seconds passed
    if context.ledgered and count > CONCURRENCY * rounds:
        raise NotSeen(f"the warehouse got {count} requests, although each answer forbids them for {RETRY_AFTER} s")
    context.stack.fault("warehouse")
    context.show(f"Four orders caused {count} requests in three seconds. Now the warehouse answers again.")
    return complete(context, "Each order was shipped once, after the warehouse's pause.")
