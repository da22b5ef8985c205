"""Partners that are slow, fail, hang, or want to be asked less often."""

import time

from backroom.ledger.models import Attempt
from lab.checks import Judge, all_done, gate
from lab.context import NotSeen, Scene

SHIPMENT = "orders.request_shipment"
AT_ONCE, PEACE = 2, 2  # calls at a time, as the worker has two processes; seconds that the warehouse wants to itself
BEFORE = ("orders.review_fraud", "orders.capture_payment")  # of an order, for the same worker


def slow_partner(scene: Scene) -> Judge:
    """Two seconds for each request."""
    scene.fault("warehouse", latency_ms=2000)
    scene.tell("The warehouse takes two seconds for each request.")
    scene.buy_all(3)
    if scene.naive:
        scene.wait(lambda: waits_behind(scene.held()), "a worker fetches more than it can begin", 10)
        scene.tell("The worker's two processes are busy with shipments; what it has fetched besides waits behind them.")
    return all_done(scene, "shipments took two seconds each, in the back room")


def waits_behind(held: list[str]) -> bool:
    """Whether something waits in a worker whose two processes are at shipments."""
    shipments = held.count(SHIPMENT)
    return shipments >= 2 and shipments + sum(task in BEFORE for task in held) > 2


def failing_partner(scene: Scene) -> Judge:
    """503 until its breaker is open, then well again."""
    scene.fault("warehouse", status=503)
    scene.tell("The warehouse answers 503 to everything.")
    before = scene.machine.asked("warehouse")
    scene.buy_all(6)
    if scene.naive:
        scene.wait(lambda: scene.machine.asked("warehouse") > before + 6, "each task asks on by itself")
        scene.tell(f"{scene.held().count(SHIPMENT)} shipments wait for their next try in the memory of a worker.")
    else:
        scene.wait(lambda: gate("warehouse") == "open", "the breaker opens")
        scene.tell("Five orders failed there: the breaker is open, nobody asks the warehouse any more.")
    asked = scene.machine.asked("warehouse")
    scene.rest(1.5)
    meanwhile = scene.machine.asked("warehouse") - asked
    if not scene.naive and meanwhile > 2:  # a call that was under way when the breaker opened, and a probe
        raise NotSeen(f"with its breaker open the warehouse was asked {meanwhile} times in 1.5 s")
    scene.fault("warehouse")
    scene.tell(f"The warehouse is well again. In the last 1.5 s it was asked {meanwhile} times.")
    return all_done(scene, "the breaker closed with the first answer, each order was shipped once")


def hanging_partner(scene: Scene) -> Judge:
    """It takes a request and never answers."""
    scene.fault("analytics", hang=True)
    scene.tell("Analytics takes requests and never answers.")
    scene.buy_all(2)
    others = [f"{kind}:{one.number}" for one in scene.placed for kind in ("receipt", "shipment")]
    scene.wait(lambda: all(scene.machine.effects(key) for key in others), "receipts and shipments")
    scene.tell("Meanwhile receipts were mailed and parcels sent: they have workers of their own.")
    if scene.naive:
        scene.rest(5)
    else:
        scene.wait(lambda: tried_again(scene, "analytics"), "the timeout ends an attempt")
        scene.tell("After five seconds the timeout ended the first attempt; its worker is free again.")
    scene.fault("analytics")
    return all_done(scene, "analytics was told once of each order")


def tried_again(scene: Scene, kind: str) -> bool:
    """Whether an attempt at a job of this kind has failed."""
    return Attempt.objects.filter(job_id__in=[job.id for job in scene.jobs(kind)]).exists()


def limiting_partner(scene: Scene) -> Judge:
    """429 with Retry-After: 2."""
    scene.fault("warehouse", status=429)
    scene.tell("The warehouse answers 429, come back in two seconds.")
    before, begin = scene.machine.asked("warehouse"), time.monotonic()
    scene.buy_all(4)
    scene.wait(lambda: scene.machine.asked("warehouse") > before, "somebody asks the warehouse")
    scene.rest(3)
    asked = scene.machine.asked("warehouse") - before
    if scene.naive and asked < 4:
        raise NotSeen(f"four tasks asked {asked} times, so one learned from another")
    rounds = 1 + int((time.monotonic() - begin) / PEACE)  # on a slow machine it was longer than three seconds
    if not scene.naive and asked > AT_ONCE * rounds:
        raise NotSeen(f"it was asked {asked} times, although it wants {PEACE} seconds of peace after each answer")
    scene.fault("warehouse")
    scene.tell(f"In three seconds four orders asked it {asked} times. Now it answers again.")
    return all_done(scene, "each order was shipped once, none before the warehouse wanted")
