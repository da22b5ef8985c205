"""The drill itself: `python -m tests.drill`, or `make deploy-drill`. Exit status 1 if any promise was broken."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stack import Problem, cluster, ports, processes, signals
from stack.processes import Process
from stack.supervisor import CHECKOUT, Supervisor
from stack.terminal import BOLD, GREEN, RED, paint, say
from tests.drill.customers import Customers
from tests.drill.ledger import Books
from tests.drill.releases import Releases
from tests.waiting import until

TOLD = {"WORKER_GRACE": "30", "DEPLOY_WINDOW": "45"}  # seconds; a real deploy is granted more than this
SIDE_BY_SIDE = 4  # seconds for which two releases work beside each other, again and again
PATIENCE = 300  # seconds for whatever takes two on a machine that has nothing else to do
WORKERS = ("worker-one", "worker-two")
LEFT_OUT = ("lost", True)  # what the audit misses of an order of the release that has no such task
NAMED = {  # the jobs that are meant to die, and why they do
    "drill:removed": "no task is named orders.update_recommendations",
    "drill:new": "no task is named orders.thank",
    "drill:argument": "orders.mail_sales_report: got an unexpected keyword argument 'to'",
}


def main() -> int:
    """Returns the exit status."""
    signals.install()
    os.environ.update(TOLD)
    folder = Path(os.environ.get("BACKROOM_VAR") or CHECKOUT / "var").resolve() / "drill"
    shutil.rmtree(folder, ignore_errors=True)
    releases = Releases(folder / "releases")

    def shop(env: Mapping[str, str]) -> list[Process]:
        return [replace(each, command=command(each, releases.link)) for each in with_two_workers(env)]

    say(f"{paint('Starting the release from before the deploy', BOLD)}: all of it, with its logs, is in {folder}")
    with cluster.running(folder / "var", ports.free(), TOLD, shop, releases.link) as supervisor:
        return Drill(supervisor, releases).run()


def with_two_workers(env: Mapping[str, str]) -> list[Process]:
    """The shop, but Flower, and instead of a worker for each queue two for all of them: so two releases can serve each
    queue beside each other."""
    usual = [process for process in processes.shop(env) if process.name != "flower"]
    kept = [process for process in usual if not process.name.startswith("worker-")]
    bulk = next(process for process in usual if process.name == "worker-bulk")
    queues = {"--queues=bulk": f"--queues={','.join(processes.QUEUES)}"}
    for name in WORKERS:
        swap = queues | {"--hostname=bulk@%h": f"--hostname={name.removeprefix('worker-')}@%h"}
        kept.append(replace(bulk, name=name, command=[swap.get(part, part) for part in bulk.command]))
    return kept


def command(process: Process, link: Path) -> list[str]:
    """The web looks for its code where the link leads, each time that it is told to reload."""
    return [*process.command, f"--chdir={link}"] if process.name == "web" else process.command


class Drill:
    """Forth and back, under load."""

    def __init__(self, supervisor: Supervisor, releases: Releases) -> None:
        self.supervisor, self.releases = supervisor, releases
        self.books = Books(supervisor.env["DATABASE_URL"])
        self.broken: list[str] = []  # promises

    def run(self) -> int:
        begin = time.monotonic()
        until(lambda: self.books.meet_workers("before") == len(WORKERS), PATIENCE, "the workers live")
        with Customers(self.supervisor.env["SITE_URL"]) as customers:
            time.sleep(SIDE_BY_SIDE)
            self.park("before", "update_recommendations", "1001", "drill:removed")
            self.roll("after")
            self.park("after", "thank", "1001", "drill:new")
            self.park("after", "mail_sales_report", "to='nobody'", "drill:argument")
            self.die("drill:removed")
            self.roll("before")
        self.die("drill:new", "drill:argument")
        say(f"\n{paint('The books', BOLD)}")
        found = self.audit()
        self.tell(customers)
        self.judge(customers, found)
        say(f"  {time.monotonic() - begin:.0f} s")
        for promise in self.broken:
            say(paint(f"  broken: {promise}", RED))
        say(paint("No request failed, nothing was lost, nothing was done twice.", GREEN) if not self.broken else "")
        return 1 if self.broken else 0

    # A rolling restart, with the commands of docs/deploying.md

    def roll(self, release: str) -> None:
        """One worker first, then the web, then all the rest; in between, both releases work side by side. The other
        worker stays until the jobs are done that only it knows."""
        going = self.releases.current
        say(f"\n{paint(f'Rolling to the release {release}', BOLD)}")
        self.manage("check", folder=self.releases.folder / release)
        self.manage("migrate", "--noinput", folder=self.releases.folder / release)
        self.releases.switch(release)
        say(f"  $ ln -sfn {release} current")
        self.restart_worker(WORKERS[0])
        time.sleep(SIDE_BY_SIDE)
        self.reload_web()
        time.sleep(SIDE_BY_SIDE)
        until(lambda: not self.books.only_known_to(going, but=list(NAMED)), PATIENCE, f"what only {going} knows")
        self.restart_worker(WORKERS[1])
        self.ctl("restart", "dispatcher")
        self.ctl("restart", "beat")
        self.ctl("restart", "watcher")
        time.sleep(SIDE_BY_SIDE)

    def restart_worker(self, name: str) -> None:
        known = len(self.books.workers)
        self.ctl("restart", name)
        until(lambda: self.books.meet_workers(self.releases.current) > known, PATIENCE, f"{name} is back")

    def reload_web(self) -> None:
        old = self.web_children()
        self.ctl("signal", "HUP", "web")
        until(lambda: not old & self.web_children(), PATIENCE, "the web's old children are gone")

    def web_children(self) -> set[str]:
        main = self.supervisor.call("getProcessInfo", "web")["pid"]
        return set(Path(f"/proc/{main}/task/{main}/children").read_text().split())

    def ctl(self, *words: str) -> None:
        begin = time.monotonic()
        control = [sys.executable, "-m", "supervisor.supervisorctl", "-s", f"unix://{self.supervisor.socket}"]
        done = subprocess.run([*control, *words], capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"supervisorctl {' '.join(words)}: {done.stdout}{done.stderr}")
        say(f"  $ supervisorctl {' '.join(words):<28} {time.monotonic() - begin:4.1f} s")

    def manage(self, *words: str, folder: Path | None = None) -> str:
        """What the command says; shown if it fails."""
        code = folder or self.releases.link
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=code, env=self.supervisor.env, capture_output=True, text=True
        )
        if done.returncode and words[0] != "audit":
            say("  " + (done.stdout + done.stderr).strip().replace("\n", "\n  "))
        return done.stdout

    # Jobs whose task, or argument, the release that meets them does not have

    def park(self, release: str, task: str, arguments: str, key: str) -> None:
        """Enqueue a job for tomorrow, under a key by which it can be called forward."""
        code = f"tasks.{task}.using(run_after=timedelta(days=1), key={key!r}).enqueue({arguments})"
        folder = self.releases.folder / release
        self.manage("shell", "-c", f"from datetime import timedelta; from orders import tasks; {code}", folder=folder)

    def die(self, *keys: str) -> None:
        """Call jobs forward, now that nobody knows them; they are handed on for DEPLOY_WINDOW, then dead letters."""
        self.manage("shell", "-c", f"from jobs import control; [operations.reschedule(key) for key in {keys!r}]")
        for key in keys:
            until(lambda key=key: self.books.state(key) == "dead", PATIENCE, f"{key} is a dead letter")

    # The verdict

    def audit(self) -> list[str]:
        """What the audit found, but for what the release without a task does not do: its orders are learned nothing
        from."""
        report = json.loads(self.manage("audit", "--json", "--wait", str(PATIENCE)))
        meant = {f"recommendations:{number}" for number in self.books.taken_by_after()}
        found = [(kind, one) for kind in ("lost", "duplicated", "stray") for one in report[kind]]
        wrong = [
            f"{kind}: {one['key']}: {one['why']}" for kind, one in found if (kind, one["key"] in meant) != LEFT_OUT
        ]
        effects = f"{report['effects_found']} of {report['effects_expected']} expected effects found"
        say(
            f"  {report['orders']} orders, {report['unfinished']} of them unfinished; {effects}, {len(wrong)} findings;"
        )
        say(f"  {len(meant)} were taken by the release that learns nothing from them")
        return wrong + [f"{report['unfinished']} unfinished"] * bool(report["unfinished"])

    def tell(self, customers: Customers) -> None:
        """What happened, as a table."""
        answers = ", ".join(f"{number} were {status}" for status, number in sorted(customers.answers.items()))
        say(f"  {len(customers.numbers)} orders; of the requests {answers}, and {len(customers.failures)} failed;")
        say(f"  the slowest answer took {customers.slowest:.2f} s\n")
        mixture = self.books.mixture()
        say(f"  {'jobs enqueued by':<22}{'run by before':>15}{'run by after':>15}")
        for made_by in ("before", "after"):
            say(f"  {made_by:<22}{mixture[made_by, 'before']:>15}{mixture[made_by, 'after']:>15}")
        say("\n  handed on by a worker that did not know them, and done by another:")
        for task, number in self.books.handed_on().items():
            say(f"  {number:>5}  {task}")
        say("\n  dead letters:")
        for key, why in self.books.dead().items():
            say(f"         {key}: {why}")
        say()

    def judge(self, customers: Customers, found: list[str]) -> None:
        mixture, handed_on, dead, unfinished = (
            self.books.mixture(), self.books.handed_on(), self.books.dead(), self.books.unfinished()
        )  # fmt: skip
        self.promise(not customers.failures, f"no request fails: {customers.failures[:5]}")
        self.promise(not found, f"nothing is lost, nothing is done twice: {found[:5]}")
        self.promise(not unfinished, f"every job comes to its end: {unfinished[:5]}")
        self.promise(len(mixture) == 4, "both releases run jobs of both")
        for task in ("orders.update_recommendations", "orders.thank"):
            self.promise(task in handed_on, f"a job of {task} is handed on by who does not know it")
        self.promise(NAMED.items() <= dead.items(), f"who is known to nobody is a dead letter and says why: {dead}")
        # DEPLOY_WINDOW is short here: another job of the two tasks may be among them.
        self.promise(set(dead.values()) <= set(NAMED.values()), f"no other dies: {dead}")
        tracebacks = [log.name for log in self.supervisor.logs.glob("*.log") if "Traceback" in log.read_text()]
        self.promise(not tracebacks, f"no traceback is logged: {tracebacks}")

    def promise(self, kept: bool, what: str) -> None:
        if not kept:
            self.broken.append(what)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(str(problem))
