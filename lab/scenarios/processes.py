"""Processes that die, and a broker that freezes or forgets."""

import threading
from signal import SIGKILL

from django.db import connection

from backroom.ledger.models import Job
from lab.checks import Judge, all_done, lost, somebody_waited, something_lost
from lab.context import Scene
from lab.faults.stack import send


def kill_worker(scene: Scene) -> Judge:
    """SIGKILL to the process that has just begun a shipment."""
    armed = scene.arm("after claim", "worker-default", "shipment")
    scene.buy()
    hit = armed.wait(20)
    number = scene.struck(hit)
    scene.tell(f"A worker's process has begun with the shipment of order {number}: SIGKILL.")
    send(SIGKILL, [hit.pid])
    return all_done(
        scene,
        "the shipment ran as attempt 2 and happened once",
        lambda: Job.objects.filter(key=f"shipment:{number}", attempts=2).exists(),
        lost(f"shipment:{number}"),
    )


def kill_web(scene: Scene) -> Judge:
    """SIGKILL to all of the web server, between the commit of a paid order and the word to the broker."""
    armed = scene.arm("after commit B", "web")
    customer = threading.Thread(target=buy_alone, args=[scene])
    customer.start()
    hit = armed.wait(20)
    scene.tell("An order is charged and committed, and its jobs are not published yet: SIGKILL to the web server.")
    scene.machine.kill(scene.machine.name("web"))
    customer.join()
    number = scene.struck(hit)
    scene.tell(f"It was order {number}. Its customer never got an answer.")
    nothing_else = lost(*(f"{kind}:{number}" for kind in ("invoice", "receipt", "shipment")))
    words = f"order {number} is paid, invoiced, mailed and shipped all the same"
    return all_done(scene, words, without=nothing_else)


def buy_alone(scene: Scene) -> None:
    """In a thread: a customer whose request is cut."""
    try:
        scene.buy()
    finally:
        connection.close()


def freeze_broker(scene: Scene) -> Judge:
    """SIGSTOP, three orders, SIGCONT."""
    scene.machine.freeze_broker()
    scene.tell("The broker is frozen: it keeps its connections, and answers nobody.")
    # After five seconds it goes on, whoever waits: where publishing has no limit, customers do.
    thaw = threading.Timer(5, scene.machine.release)
    thaw.start()
    try:
        scene.buy_all(3)
        scene.wait(lambda: not thaw.is_alive(), "the five seconds to be over")
    finally:
        thaw.cancel()
    scene.tell("The broker goes on.")
    words = "the orders' jobs were in the ledger and ran when the broker was back"
    return all_done(scene, words, without=somebody_waited)


def flush_broker(scene: Scene) -> Judge:
    """FLUSHALL while messages wait."""
    # Celery's workers fetch eight messages ahead, and those are not in the broker any more.
    latency, orders = (4000, 15) if scene.naive else (1500, 5)
    scene.fault("analytics", latency_ms=latency)
    scene.buy_all(orders)
    scene.wait(lambda: scene.machine.queued("bulk") >= 3, "messages that wait in the broker")
    waiting = scene.machine.queued("bulk")
    scene.machine.flush_broker()
    scene.tell(f"{waiting} messages waited in the broker: FLUSHALL.")
    scene.fault("analytics")
    words = "the dispatcher missed the messages and published the jobs anew"
    return all_done(scene, words, without=something_lost)
