"""The lab's own process: runs one requested experiment at a time, and returns everything to normal after it.

Not the web process, which experiments kill. If this process dies, supervisord restarts it, and it begins by returning
everything to normal. So nothing depends on an open browser, and the web server can't signal other processes.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import urllib3
from django.conf import settings
from django.db import Error, connection

from backroom.outbound import breaker
from lab.context import Context, NotSeen, Stopped
from lab.demo_stack import DemoStack
from lab.experiments import BY_SLUG
from lab.faults import CHECKLIST, LEDGERED, NAIVE
from lab.faults.failpoints import NotHit
from lab.load import Load
from lab.scenarios import people, work
from lab.scenarios.repair import reconcile_now
from lab.state_files import StateFiles
from lab.totals import Totals
from orders.reconciliation.audit import PartnersSilent
from stack.supervisor import SupervisorGone

log = logging.getLogger(__name__)

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns when threads use up a pool

POLL = 0.2  # seconds
DRAIN = 20.0  # seconds in which a shop may finish its orders before a switch
SWITCHES = {"switch-ledgered": LEDGERED, "switch-checklist": CHECKLIST, "switch-naive": NAIVE}
RECONCILE = "reconcile"


class Runner:
    """`run` returns after `stop.set()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.files = StateFiles(settings.VAR)
        self.stack = DemoStack()
        self.load = Load(self.files, self.stack.site)
        self.lock = threading.Lock()
        self.state: dict[str, Any] = {"results": {}, "history": [], **self.files.read()}
        self.totals = Totals(self.stack, self.state["history"])

    def show(self, **changes: Any) -> None:
        """Write changes of the state for the page."""
        with self.lock:
            self.state |= {**changes, "at": time.time()}
            self.files.write(self.state)

    def run(self) -> None:
        self.begin()
        threading.Thread(target=self.count, daemon=True, name="totals").start()
        while not self.stop.is_set():
            self.load.update()
            if name := self.files.requested():
                self.perform(name)
                self.files.finish()
            elif self.files.take_stop():
                self.restore()
            self.stop.wait(POLL)
        self.load.end()
        with suppress(SupervisorGone, urllib3.exceptions.HTTPError):
            self.stack.thaw()
            self.stack.heal()

    def begin(self) -> None:
        """End what the process before this one left unfinished."""
        run = self.state.get("run")
        if run and not run["outcome"]:
            run |= {"outcome": "ended", "said": "The lab's process stopped during the experiment. All faults ended."}
            self.files.finish()
        self.restore()
        self.files.take_stop()
        self.totals.start(self.stack.variant)
        self.show(variant=self.stack.variant, run=run)

    def restore(self) -> None:
        """End all faults, run the usual processes, and delete what experiments left. Never raises."""
        connection.close()  # PostgreSQL may have been restarted since its last use
        trouble = ""
        try:
            self.stack.restore()
            breaker.reset()
            work.clean_up()
            people.clean_up(self.stack)
        except Exception as error:
            log.exception("not everything returned to normal")
            connection.close()
            trouble = f"Not everything returned to normal: {error}. See log/lab.log, or restart the demo."
        self.show(trouble=trouble)

    def perform(self, name: str) -> None:
        """Run one request, until everything is normal again."""
        connection.close()  # as in `restore`
        begin = time.monotonic()
        variant = self.stack.variant
        run: dict[str, Any] = {"slug": name, "variant": variant, "outcome": "", "said": "", "lines": [], "seconds": 0.0}

        def line(text: str) -> None:
            run["lines"].append([round(time.monotonic() - begin, 1), text])
            self.show(run=run)

        self.files.take_stop()
        self.show(run=run)
        outcome, said = self.outcome(name, line)
        result = {"outcome": outcome, "said": said, "seconds": round(time.monotonic() - begin, 1)}
        self.restore()
        if name in BY_SLUG:
            self.state["results"].setdefault(name, {})[variant] = result
        self.show(run=run | result, variant=self.stack.variant)

    def outcome(self, name: str, line: Callable[[str], None]) -> tuple[str, str]:
        """Run it. Returns seen, ended, missed or failed, and the result as text. Never raises."""
        try:
            return "seen", self.act(name, line)
        except Stopped:
            return "ended", "Stopped before its end."
        except (NotSeen, NotHit) as error:
            return "missed", f"{str(error)[:1].upper()}{str(error)[1:]}."
        except Exception as error:
            log.exception("%s failed", name)
            connection.close()
            return "failed", f"The experiment itself failed: {error}"

    def act(self, name: str, line: Callable[[str], None]) -> str:
        """Do what a request names. Returns the result as text. Raises NotSeen and Stopped."""
        if name in SWITCHES:
            return self.switch(SWITCHES[name], line)
        if name == RECONCILE:
            return reconcile_now(Context(self.stack, line, self.stop_requested))
        return self.experiment(name, line)

    def experiment(self, name: str, line: Callable[[str], None]) -> str:
        """Break something, and wait for the result. Returns it as text. Raises NotSeen and Stopped."""
        experiment = BY_SLUG[name]
        self.restore()  # so that each begins alike: closed breakers, all processes up
        end = time.monotonic() + experiment.longest
        context = Context(self.stack, line, self.stop_requested)
        check = experiment.scenario(context)
        while not (result := check()):
            if time.monotonic() > end:
                found = context.count()
                effects = f"{found.found} of {found.expected} effects"
                raise NotSeen(f"the result did not occur within {experiment.longest} s; {effects}")
            context.pause()
        return result

    def stop_requested(self) -> bool:
        """Whether the experiment has to end now. Keeps the load up to date while it runs."""
        self.load.update()
        return self.stop.is_set() or self.files.take_stop()

    def switch(self, variant: str, line: Callable[[str], None]) -> str:
        """Let one shop finish its orders, and start the other one instead. Raises Stopped."""
        if variant == self.stack.variant:
            return "This shop runs already."
        if self.load.customers:
            line("The customers leave. Orders in progress may finish.")
        self.load.end()
        left = self.drain()
        line("Stopping one shop and starting the other. The page is offline meanwhile, up to a minute.")
        self.totals.close()
        self.stack.switch(variant)
        self.totals.start(variant)
        more = f" {left} orders were not finished." if left else ""
        return f"Now the {variant} shop runs.{more}"

    def drain(self) -> int:
        """Wait until no order has work left, up to DRAIN seconds. Returns the unfinished orders. Raises Stopped."""
        end = time.monotonic() + DRAIN
        while (left := self.totals.count().unfinished) and time.monotonic() < end:
            if self.stop_requested():
                raise Stopped
            time.sleep(0.5)
        return left

    def count(self) -> None:
        """Write the totals each second, or less often where counting takes longer."""
        while not self.stop.is_set():
            begin = time.monotonic()
            with suppress(PartnersSilent, SupervisorGone):
                try:
                    self.totals.update()
                    self.show(checkout_s=self.load.latency())
                except Error:
                    connection.close()
            self.stop.wait(max(1.0, 2 * (time.monotonic() - begin)))
