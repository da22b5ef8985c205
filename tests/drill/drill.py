"""The drill: a deploy, its rollback, jobs without a task, and the verdict."""

import json
import time

from stack.supervisor import Supervisor
from stack.terminal import BOLD, GREEN, RED, paint, say
from tests.drill.customers import Customers
from tests.drill.deploy import SIDE_BY_SIDE, TIMEOUT, WORKERS, Deploy
from tests.drill.ledger import Ledger
from tests.drill.releases import Releases
from tests.waiting import until

ALLOWED = ("lost", True)  # findings for the orders of the release without that task
DEAD = {  # the jobs that become dead letters, and their errors
    "drill:removed": "no task is named orders.update_recommendations",
    "drill:new": "no task is named orders.thank",
    "drill:argument": "orders.mail_sales_report(day: str | None = None): got an unexpected keyword argument 'to'",
}


class Drill:
    """A deploy and its rollback under load."""

    def __init__(self, supervisor: Supervisor, releases: Releases) -> None:
        self.supervisor, self.releases = supervisor, releases
        self.ledger = Ledger(supervisor.env["DATABASE_URL"])
        self.deploy = Deploy(supervisor, releases, self.ledger, list(DEAD))
        self.broken: list[str] = []  # promises

    def run(self) -> int:
        """Returns the exit status."""
        begin = time.monotonic()
        until(lambda: self.ledger.add_workers("before") == len(WORKERS), TIMEOUT, "the workers' heartbeats")
        with Customers(self.supervisor.env["SITE_URL"]) as customers:
            time.sleep(SIDE_BY_SIDE)
            self.park("before", "update_recommendations", "1001", "drill:removed")
            self.deploy.roll("after")
            self.park("after", "thank", "1001", "drill:new")
            self.park("after", "mail_sales_report", "to='staff'", "drill:argument")
            self.let_die("drill:removed")
            self.deploy.roll("before")
        self.let_die("drill:new", "drill:argument")
        say(f"\n{paint('The result', BOLD)}")
        findings = self.audit()
        self.show(customers)
        self.check(customers, findings)
        say(f"  {time.monotonic() - begin:.0f} s")
        for promise in self.broken:
            say(paint(f"  broken: {promise}", RED))
        say(paint("No request failed, nothing was lost, nothing was done twice.", GREEN) if not self.broken else "")
        return 1 if self.broken else 0

    def park(self, release: str, task: str, arguments: str, key: str) -> None:
        """Enqueue a job for tomorrow, with a key to reschedule it by."""
        found = f"current_app.tasks['orders.{task}']"
        code = f"{found}.using(run_after=timedelta(days=1), key={key!r}).enqueue({arguments})"
        folder = self.releases.folder / release
        imports = "from datetime import timedelta; from celery import current_app; from orders import tasks"
        self.deploy.manage("shell", "-c", f"{imports}; {code}", folder=folder)

    def let_die(self, *keys: str) -> None:
        """Make jobs due that no worker can run. They are deferred for DEPLOY_WINDOW, then dead letters."""
        imports = "from backroom.ledger import operations"
        self.deploy.manage("shell", "-c", f"{imports}; [operations.reschedule(key) for key in {keys!r}]")
        for key in keys:
            until(lambda key=key: self.ledger.state(key) == "dead", TIMEOUT, f"{key} is a dead letter")

    def audit(self) -> list[str]:
        """The audit's findings, without the recommendations that the release *after* does not make."""
        report = json.loads(self.deploy.manage("audit", "--json", "--wait", str(TIMEOUT)))
        meant = {f"recommendations:{number}" for number in self.ledger.orders_of_after()}
        found = [(kind, one) for kind in ("lost", "duplicated", "stray") for one in report[kind]]
        wrong = [f"{kind}: {one['key']}: {one['why']}" for kind, one in found if (kind, one["key"] in meant) != ALLOWED]
        say(
            f"  {report['orders']} orders, {report['unfinished']} of them unfinished; {report['effects_found']} of"
            f" {report['effects_expected']} expected effects found, {len(wrong)} findings;"
        )
        say(f"  {len(meant)} orders were placed with the release without recommendations")
        return wrong + [f"{report['unfinished']} unfinished"] * bool(report["unfinished"])

    def show(self, customers: Customers) -> None:
        """Print the requests, and which release ran the jobs of which."""
        answers = ", ".join(f"{status}: {number}" for status, number in sorted(customers.statuses.items()))
        say(f"  {len(customers.answers)} orders; responses by status {answers}; {len(customers.failures)} failed;")
        say(f"  the slowest response took {customers.slowest:.2f} s\n")
        matrix = self.ledger.by_release()
        say(f"  {'jobs enqueued by':<22}{'run by before':>15}{'run by after':>15}")
        for made_by in ("before", "after"):
            say(f"  {made_by:<22}{matrix[made_by, 'before']:>15}{matrix[made_by, 'after']:>15}")
        say("\n  deferred by a worker without their task, and run by another:")
        for task, number in self.ledger.deferred().items():
            say(f"  {number:>5}  {task}")
        say("\n  dead letters:")
        for key, why in self.ledger.dead().items():
            say(f"         {key}: {why}")
        say()

    def check(self, customers: Customers, findings: list[str]) -> None:
        """Note each promise that was broken."""
        matrix, deferred, dead = self.ledger.by_release(), self.ledger.deferred(), self.ledger.dead()
        unfinished = self.ledger.unfinished()
        self.promise(not customers.failures, f"no request fails: {customers.failures[:5]}")
        self.promise(not findings, f"nothing is lost, nothing is done twice: {findings[:5]}")
        self.promise(not unfinished, f"every job ends: {unfinished[:5]}")
        self.promise(len(matrix) == 4, "both releases run jobs of both")
        for task in ("orders.update_recommendations", "orders.thank"):
            self.promise(task in deferred, f"a worker without {task} defers its jobs")
        self.promise(DEAD.items() <= dead.items(), f"a job without a task is a dead letter with the reason: {dead}")
        # Others of these two tasks may die, too, as DEPLOY_WINDOW is short here.
        self.promise(set(dead.values()) <= set(DEAD.values()), f"no other job dies: {dead}")
        tracebacks = [log.name for log in self.supervisor.logs.glob("*.log") if "Traceback" in log.read_text()]
        self.promise(not tracebacks, f"no traceback is logged: {tracebacks}")

    def promise(self, kept: bool, what: str) -> None:
        if not kept:
            self.broken.append(what)
