"""The lab's own process: does what the page wishes, one thing at a time, tells how things stand, and puts everything
right at the end of each experiment.

Not the web process: that is among what dies. Should this one die, supervisord starts it anew, and it begins by putting
everything right. So nothing depends on a browser that stays open, and only this process can reach the others.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import urllib3
from django.conf import settings
from django.db import Error, connection

from backroom.outbound import breaker
from lab.context import NotSeen, Scene, Stopped
from lab.experiments import BY_SLUG, Experiment
from lab.faults.customers import Customers, cheap
from lab.faults.failpoints import NotHit
from lab.faults.stack import LEDGERED, NAIVE, Machine
from lab.scenarios.work import tidy
from lab.state_files import Board
from lab.totals import Books
from orders.audit import PartnersSilent
from stack.supervisor import SupervisorGone

log = logging.getLogger(__name__)

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a thread more than it keeps connections for

LOOK = 0.2  # seconds between looks at the board
DRAIN = 20.0  # seconds for which a shop may finish what it has in hand before another one takes its place
SWITCHES = {"switch-naive": NAIVE, "switch-ledgered": LEDGERED}


class Conductor:
    """`run` returns after `stop.set()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.board = Board(settings.VAR)
        self.machine = Machine(os.environ)
        self.customers: Customers | None = None
        self.lock = threading.Lock()
        self.state: dict[str, Any] = {"results": {}, "periods": {}, **self.board.told()}
        self.books = Books(self.machine, self.state["periods"])

    def tell(self, **changes: Any) -> None:
        """Write down how things stand, for the page."""
        with self.lock:
            self.state |= {**changes, "at": time.time()}
            self.board.tell(self.state)

    def run(self) -> None:
        """Work until stopped."""
        self.begin()
        threading.Thread(target=self.keep_books, daemon=True, name="books").start()
        while not self.stop.is_set():
            self.mind_the_door()
            if name := self.board.wished():
                self.perform(name)
                self.board.done()
            elif self.board.stopped():
                self.put_right()
            self.stop.wait(LOOK)
        self.board.let_in(0)
        self.mind_the_door()
        with suppress(SupervisorGone, urllib3.exceptions.HTTPError):
            self.machine.release()

    def begin(self) -> None:
        """End what a predecessor left half-done, be it one that was killed or the demo of yesterday."""
        run = self.state.get("run")
        if run and not run["outcome"]:
            run |= {"outcome": "ended", "said": "The lab itself was stopped in the middle. Everything was put right."}
            self.board.done()
        self.put_right()
        self.board.stopped()
        self.books.set_to(self.machine.variant)
        self.tell(variant=self.machine.variant, run=run)

    def put_right(self) -> None:
        """Nobody frozen or faulty, the usual processes running, nothing of an experiment left. Never raises."""
        trouble = ""
        try:
            self.machine.put_right()
            breaker.reset()
            tidy(self.machine)
        except Exception as error:
            log.exception("not everything could be put right")
            connection.close()
            trouble = (
                f"Not everything could be put right: {error}. See log/lab.log, or stop the demo and start it again."
            )
        self.tell(trouble=trouble)

    def perform(self, name: str) -> None:
        """One wish, from its beginning to everything put right."""
        begin = time.monotonic()
        variant = self.machine.variant
        run: dict[str, Any] = {"slug": name, "variant": variant, "since": time.time(), "outcome": "", "said": ""}
        run |= {"lines": [], "seconds": 0.0}

        def line(text: str) -> None:
            run["lines"].append([round(time.monotonic() - begin, 1), text])
            self.tell(run=run)

        self.board.stopped()
        self.tell(run=run)
        outcome, said = self.outcome(name, line)
        result = {"outcome": outcome, "said": said, "seconds": round(time.monotonic() - begin, 1)}
        self.put_right()
        if name in BY_SLUG:
            self.state["results"].setdefault(name, {})[variant] = result
        self.tell(run=run | result, variant=self.machine.variant)

    def outcome(self, name: str, line: Callable[[str], None]) -> tuple[str, str]:
        """Do it; how it ended, and in words. Never raises."""
        try:
            return "seen", self.switch(SWITCHES[name], line) if name in SWITCHES else self.experiment(name, line)
        except Stopped:
            return "ended", "Ended before its end."
        except (NotSeen, NotHit) as error:
            return "missed", f"{str(error)[:1].upper()}{str(error)[1:]}."
        except Exception as error:
            log.exception("%s went wrong", name)
            connection.close()
            return "failed", f"The experiment itself went wrong: {error}"

    def experiment(self, name: str, line: Callable[[str], None]) -> str:
        """Break something, and wait for what should be seen; returns it in words. Raises NotSeen and Stopped."""
        experiment: Experiment = BY_SLUG[name]
        self.put_right()  # each begins on known ground: no breaker open, nobody missing
        end = time.monotonic() + experiment.longest
        scene = Scene(self.machine, line, self.is_over)
        judge = experiment.act(scene)
        while not (seen := judge()):
            if time.monotonic() > end:
                found = scene.tally()
                raise NotSeen(
                    f"not all was seen within {experiment.longest} s; {found.found} of {found.expected} effects"
                )
            scene.pause()
        return seen

    def is_over(self) -> bool:
        """Whether somebody wants everything put right; the door is minded by the way."""
        self.mind_the_door()
        return self.stop.is_set() or self.board.stopped()

    def switch(self, variant: str, line: Callable[[str], None]) -> str:
        """Let one shop finish what it has in hand, and put the other in its place. Raises Stopped."""
        if variant == self.machine.variant:
            return "It runs already."
        self.board.let_in(0)
        self.mind_the_door()
        line("The doors are closed, and what is under way may finish.")
        left = self.drained()
        line("One shop is stopped, the other started. This page is away meanwhile; on a busy machine that is a minute.")
        self.books.close(self.machine.variant)
        self.machine.switch(variant)
        self.books.set_to(variant)
        more = f" {left} orders were not finished." if left else ""
        return f"The {'naive shop' if variant == NAIVE else 'shop with its ledger'} is open.{more}"

    def drained(self) -> int:
        """How many orders are unfinished once nothing moves any more, or after a while."""
        end = time.monotonic() + DRAIN
        while (left := self.books.look(self.machine.variant).busy) and time.monotonic() < end:
            if self.is_over():
                raise Stopped
            time.sleep(0.5)
        return left

    def mind_the_door(self) -> None:
        """Customers come while they are let in, and no longer."""
        wanted = bool(self.board.open_until())
        if wanted and self.customers is None:
            with suppress(urllib3.exceptions.HTTPError, ValueError):
                items = urllib3.request("GET", f"{self.machine.site}/api/products?limit=100", timeout=5).json()["items"]
                self.customers = Customers(self.machine.site, cheap(items), "visitor@example.org", (True,) * 3)
                self.customers.__enter__()
        elif self.customers and not wanted:
            self.customers.__exit__()
            self.customers = None

    def keep_books(self) -> None:
        """Each second, or less often where that takes long: what came of the orders, how long a checkout takes."""
        while not self.stop.is_set():
            begin = time.monotonic()
            with suppress(PartnersSilent, SupervisorGone):
                try:
                    self.tell(books=self.books.figures(), checkout_s=self.checkout())
                except Error:
                    connection.close()
            self.stop.wait(max(1.0, 2 * (time.monotonic() - begin)))

    def checkout(self) -> float | None:
        """Seconds that a customer waits for an answer now; None where none is in."""
        return self.customers.latency() if self.customers else None
