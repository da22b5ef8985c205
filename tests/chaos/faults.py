"""How each fault is brought about: arm a point, wait until it is hit, send a signal; or break a server or a partner."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

import redis
from django.db import connection
from kombu.exceptions import KombuError

from backroom.ledger import operations, sql
from backroom.ledger.models import LIVE, Job
from backroom.runtime import publisher
from lab.faults.failpoints import Hit
from lab.faults.stack import descendants, send
from tests.chaos.context import PATIENCE, SLOT_IN, Scene
from tests.waiting import until

Act = Callable[[Scene], None]
OUTAGE = 6.0  # seconds of a partner's trouble
COLD = 8.0  # seconds for which a server is frozen
SHORTEST = 6.0  # seconds more, for others to come upon what a frozen process left
UNHEARD = 15.0  # where nobody will do its work, as there is no ledger
FREEZE = 25.0  # at most; a silent worker is noticed sooner
NET = 100.0  # at most; the net under the checkout is a minute away
LIMIT = 80.0  # at most; the hard time limit of a job, and a rescue


def at(process: str, boundary: str, number: Signals, which: str, words: str = "") -> Act:
    """Stop a process at a boundary, and send a signal to it (child), to its main process, or to all of them."""

    def act(scene: Scene) -> None:
        if boundary in FLIGHTS:
            point, partner = FLIGHTS[boundary]
            scene.house.fault(partner, latency_ms=1500)
            hit = scene.hit(point, process, words)
            hit.release()
            time.sleep(0.7)  # its request is on the way now, and the partner takes twice as long
        else:
            hit = scene.hit(boundary, process, words)
        deal(scene, hit, number, which)

    return act


# In the effect: the partner has the request, takes its time, and does the work though nobody waits for it any more.
FLIGHTS = {"authorize in flight": ("after commit A", "payments"), "in the effect": ("after claim", "analytics")}


def deal(scene: Scene, hit: Hit, number: Signals, which: str) -> None:
    """Send the signal. A killed process is gone; one told to stop may end its work; a frozen one comes back when others
    have done its work, and then goes on where it stood."""
    main = scene.house.pid(hit.process)
    victims = {"child": [hit.pid], "main": [main], "only": [main], "all": descendants(main)}[which]
    scene.strike()
    send(number, victims)
    scene.house.heal()
    if number == SIGSTOP:
        patience = FREEZE if which != "child" else LIMIT
        if hit.process == "web":
            patience = NET
        elif scene.house.naive:
            patience = UNHEARD
        if not scene.wait(scene.given_away(hit), patience):
            scene.notes.append(f"thawed after {patience:g} s, its work not done by others")
        time.sleep(SHORTEST)
        hit.release()
        send(SIGCONT, victims)
    else:
        time.sleep(0.5)  # the signal is seen before it may go on
        hit.release()


def dispatching(boundary: str, number: Signals) -> Act:
    """Cut the dispatcher while it publishes retries."""

    def act(scene: Scene) -> None:
        if boundary == "rows locked":
            return in_the_statement(scene, number)
        with scene.kept_away("dispatcher-2"):
            armed = scene.arm(boundary, "dispatcher")
            scene.due_jobs()
            hit = armed.wait(PATIENCE)
        deal(scene, hit, number, "only")

    return act


def in_the_statement(scene: Scene, number: Signals) -> None:
    """The rows stay locked for as long as PostgreSQL's lock_timeout lets a statement wait. A second dispatcher, where
    there is one, is kept away until they are."""
    with scene.statements_held() as held:
        with scene.kept_away("dispatcher-2"):
            scene.due_jobs()
            hit = until(held, 30, "the dispatcher in its statement")
        deal(scene, hit, number, "only")
        scene.wait(lambda: not held(), 8)


def firing(boundary: str, number: Signals) -> Act:
    """Cut beat while it fires a slot; a second beat, where there is one, finds the slot due, too."""

    def act(scene: Scene) -> None:
        with scene.kept_away("beat-2"):
            armed = scene.arm(boundary, "beat", "sales_report")
            scene.slot()
            hit = armed.wait(PATIENCE)
        deal(scene, hit, number, "only")

    return act


def two_beats(scene: Scene) -> None:
    """No fault but that there are two."""
    scene.strike()
    for _ in range(3):
        scene.slot()
    time.sleep(SLOT_IN)
    scene.mended()


def two_dispatchers(scene: Scene) -> None:
    """No fault but that there are two."""
    scene.strike()
    scene.due_jobs()


def broker_killed(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    send(SIGKILL, [scene.house.pid("valkey")])
    scene.house.heal()


def broker_frozen(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    pid = scene.house.pid("valkey")
    send(SIGSTOP, [pid])
    time.sleep(COLD)
    send(SIGCONT, [pid])
    scene.mended()
    scene.house.heal()


def broker_restarted(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    scene.house.stop("valkey")
    scene.house.start("valkey")
    scene.mended()
    scene.house.heal()


def broker_flushed(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    scene.broker.flushall()
    scene.house.heal()


def broker_lost(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    scene.house.stop("valkey")
    shutil.rmtree(scene.house.var / "valkey" / "appendonlydir")
    scene.house.start("valkey")
    scene.mended()
    scene.house.heal()


def broker_truncated(scene: Scene) -> None:
    scene.pile_up()
    scene.strike()
    scene.house.stop("valkey")
    file = max((scene.house.var / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with file.open("r+b") as log:
        log.truncate(file.stat().st_size // 2)
    scene.house.start("valkey")
    scene.mended()
    scene.house.heal()


def database_killed(scene: Scene) -> None:
    scene.strike()
    send(SIGKILL, [scene.house.pid("postgres")])
    time.sleep(1)
    scene.house.start("postgres")
    scene.mended()


def database_frozen(scene: Scene) -> None:
    scene.strike()
    pids = scene.house.family("postgres")
    send(SIGSTOP, pids)
    time.sleep(COLD)
    send(SIGCONT, pids)
    scene.mended()


def database_restarted(scene: Scene) -> None:
    scene.strike()
    scene.house.stop("postgres")
    scene.house.start("postgres")
    scene.mended()


def partner(name: str, switches: dict) -> Act:
    """A partner in trouble for a while."""

    def act(scene: Scene) -> None:
        scene.strike()
        scene.house.fault(name, **switches)
        time.sleep(OUTAGE)
        scene.house.heal()
        scene.mended()

    return act


def answer_lost(scene: Scene) -> None:
    """The broker took an order's messages, but the web process sees a broken connection."""
    hit = scene.arm("publish", "web", "orders.make_invoice", then="fail").wait(PATIENCE)
    scene.strike()
    hit.release()


def delivered_twice(scene: Scene) -> None:
    """Whatever state a job is in, its message comes again, and again."""
    scene.strike()
    sent = 0
    for _ in range(20):
        jobs = Job.objects.order_by("-created_at").exclude(task="orders.settle_payment")[:30]
        with suppress(KombuError, redis.RedisError):  # our own connection may be older than this broker
            publisher.send([sql.Message(str(j.id), j.task, j.queue, j.args, j.context, time.time()) for j in jobs] * 2)
            sent += 1
        time.sleep(0.25)
    assert sent, "no message was sent"


def poison(how: str) -> Act:
    """One job kills its worker in each of its attempts (three are left to it), and is a dead letter then. A person
    replays it once the cause is gone."""

    def act(scene: Scene) -> None:
        hit = scene.hit("after claim", "worker-bulk", "analytics")
        (id,) = scene.ids(hit)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE backroom_job SET max_attempts = 3 WHERE id = %s", [id])
        scene.strike()
        send(SIGKILL, [hit.pid])
        for _ in range(2):
            scene.arm("after claim", "worker-bulk", id, then=how).wait(PATIENCE)
        until(lambda: Job.objects.filter(id=id, state="dead", attempts=3).exists(), 30, "a dead letter")
        neighbours = Job.objects.filter(task="orders.send_analytics").exclude(id=id).exclude(state__in=LIVE)
        assert not neighbours.exclude(state="succeeded").exists()
        operations.replay([id])
        scene.mended()

    return act


def long_job(scene: Scene) -> None:
    """A job in the hands of a live worker for 45 s."""
    hit = scene.hit("after claim", "worker-bulk", "analytics")
    (id,) = scene.ids(hit)
    time.sleep(45)
    job = Job.objects.get(id=id)
    assert (job.state, job.claims) == ("running", 1), (job.state, job.claims)
    scene.strike()
    hit.release()
