"""`manage.py jobs`: the back room in figures, with `--watch` again and again; `jobs running`: what runs, with bars;
`jobs dead`, `jobs replay`, `jobs cancel`: its dead letters; `jobs pause`, `jobs resume`: a queue or a task."""

import difflib
import json
import time
import uuid
from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from django.db.models import QuerySet

from backroom.ledger import db_errors
from backroom.ledger.models import Job, Pause
from backroom.ops import audit_log
from backroom.ops.rates import figures
from backroom.ops.running import bar, running
from backroom.outbound import breaker
from backroom.runtime.task import LedgerTask

WATCH_EVERY = 1.0  # seconds
CLEAR = "\033[H\033[2J"


ACTIONS = ["show", "running", "dead", "replay", "cancel", "pause", "resume"]


def shortened(text: str) -> str:
    """As long as its column."""
    return text[:200]


class Command(BaseCommand):
    help = (
        "Show queues, tasks, partners and workers; list, replay or cancel dead letters; pause or resume. "
        "Exit status: 0 done, also if there was nothing to do; 1 the database is in trouble, or what you named does "
        "not exist; 2 the arguments make no sense."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=ACTIONS, default="show")
        parser.add_argument("which", nargs="*", help="ids or keys (receipt:1001); to pause, queue:NAME or task:NAME")
        parser.add_argument("--task", help="all dead letters of this task; for dead, too")
        parser.add_argument("--all", action="store_true", help="all dead letters")
        parser.add_argument("--why", default="", type=shortened, help="to be remembered with what you do")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--watch", action="store_true", help="show, or running: once a second until Ctrl-C")

    def handle(self, action: str, watch: bool, **options: Any) -> None:
        try:
            self.do(action, **options)
            while watch and action in ("show", "running"):
                time.sleep(WATCH_EVERY)
                self.stdout.write(CLEAR if self.stdout.isatty() else "", ending="")
                self.do(action, **options)
        except KeyboardInterrupt:
            return
        except Error as error:
            if not db_errors.is_outage(error):
                raise
            raise CommandError(f"the database (DATABASE_URL) is in trouble: {db_errors.summary(error)}") from error

    def do(self, action: str, **options: Any) -> None:
        self.refuse_idle_arguments(action, **options)
        if action == "show":
            return self.show(**options)
        if action == "running":
            return self.show_running(**options)
        if action == "dead":
            return self.list_dead(**options)
        if action in ("pause", "resume"):
            return self.set_pause(action, **options)
        chosen = self.choose(**options)
        change = audit_log.replay if action == "replay" else audit_log.cancel
        done = change(chosen, audit_log.at_the_command_line(), options["why"])
        self.stdout.write(f"{len(done)} of {len(chosen)} jobs: {action} done")

    def choose(self, which: list[str], task: str | None, all: bool, **_: Any) -> list[str]:
        """The ids that the arguments name. Raises CommandError when they name nothing or the unknown."""
        if (bool(which), task is not None, all).count(True) != 1:
            usage = "say which, in one way: ids or keys such as receipt:1001, --task NAME, or --all"
            raise CommandError(usage, returncode=2)
        if not which:
            return [str(id) for id in self.dead(task).values_list("id", flat=True)]
        found = {name: self.find(name) for name in which}
        if unknown := [name for name, id in found.items() if id is None]:
            raise CommandError(f"no such job: {', '.join(unknown)}")
        return [id for id in found.values() if id]

    def refuse_idle_arguments(self, action: str, which: list[str], task: str | None, all: bool, **_: Any) -> None:
        """Raises CommandError for arguments that this action would ignore."""
        if action in ("show", "running", "dead") and (which or all or (task is not None and action != "dead")):
            more = "" if action == "dead" else ", nor --task"
            raise CommandError(f"{action} takes no ids, keys or --all{more}; replay and cancel do", returncode=2)

    def set_pause(self, action: str, which: list[str], why: str, task: str | None, all: bool, **_: Any) -> None:
        """Pause or resume what the arguments name. Raises CommandError for what nobody knows."""
        if len(which) != 1 or task is not None or all:
            raise CommandError("say what: queue:NAME or task:NAME", returncode=2)
        what = which[0]
        current_app.loader.import_default_modules()
        known = [f"queue:{name}" for name in current_app.amqp.queues] + [f"task:{name}" for name in current_app.tasks]
        if action == "pause" and what not in known:
            near = difflib.get_close_matches(what, known, 3, 0)
            raise CommandError(f"there is no {what!r}. Did you mean {', '.join(near)}?")
        change = audit_log.pause if action == "pause" else audit_log.resume
        done = change(what, audit_log.at_the_command_line(), why)
        self.stdout.write(f"{what} is {action}d" if done else f"nothing to do: {what} is {action}d already")

    def dead(self, task: str | None) -> QuerySet[Job]:
        """The dead letters of a task, or all. Raises CommandError for a task that neither the code nor the ledger
        knows: a removed one may have left some."""
        dead = Job.objects.filter(state="dead")
        if task is None:
            return dead
        current_app.loader.import_default_modules()  # nothing else here imports all tasks
        known = {name for name, each in current_app.tasks.items() if isinstance(each, LedgerTask)}
        known.update(dead.values_list("task", flat=True).distinct())
        if task not in known:
            near = difflib.get_close_matches(task, sorted(known), 3, 0) or sorted(known)
            raise CommandError(f"there is no task {task!r}. Did you mean {', '.join(near)}?")
        return dead.filter(task=task)

    def find(self, name: str) -> str | None:
        try:
            jobs = Job.objects.filter(id=uuid.UUID(name))
        except ValueError:
            jobs = Job.objects.filter(key=name)
        return next((str(job.id) for job in jobs), None)

    def list_dead(self, **options: Any) -> None:
        dead = [
            {"id": str(job.id), "task": job.task, "key": job.key, "error": job.error.partition("\n")[0]}
            for job in self.dead(options["task"]).order_by("finished_at")[:500]
        ]
        if options["json"]:
            self.stdout.write(json.dumps(dead, indent=2))
            return
        for job in dead:
            self.stdout.write(f"{job['id']}  {job['key'] or job['task']}  {job['error']}")
        self.stdout.write(f"{len(dead)} dead letters")

    def show(self, **options: Any) -> None:
        paused = [{"what": pause.what, "who": pause.who, "why": pause.why} for pause in Pause.objects.order_by("what")]
        now = {**figures(), "paused": paused, "partners": breaker.states()}
        now |= {"running": [each.as_dict() for each in running()]}
        if options["json"]:
            self.stdout.write(json.dumps(now, indent=2))
            return
        self.table(now["queues"], ["queue", "ready", "waiting", "running", "dead", "oldest_s"])
        for pause in paused:
            self.stdout.write(f"{pause['what']} is paused, by {pause['who']}: {pause['why']}")
        self.stdout.write(f"\nthe last {now['window_s']} s")
        columns = ["task", "per_minute", "retry_rate", "failure_rate", "wait_ms_p50", "run_ms_p50"]
        self.table(now["tasks"], columns)
        self.stdout.write("")
        if now["partners"] is None:
            self.stdout.write("breakers: not known, as the broker does not answer, or keeps none")
        else:
            lines = [{**gate, "since": gate["since"] or "-"} for gate in now["partners"]]
            self.table(lines, ["partner", "state", "since", "failures", "next_s", "rate"])
        self.stdout.write("")
        self.show_running(**options)
        self.stdout.write("\nworkers: " + (", ".join(worker["name"] for worker in now["workers"]) or "none!"))

    def show_running(self, **options: Any) -> None:
        found = running()
        if options["json"]:
            self.stdout.write(json.dumps([each.as_dict() for each in found], indent=2))
            return
        for each in found:
            told = bar(each.journal) if each.journal and each.journal.done is not None else ""
            self.stdout.write(f"{each.job}  attempt {each.job.attempts}  {told}".rstrip())
        self.stdout.write(f"{len(found)} running")

    def table(self, lines: list[dict[str, Any]], columns: list[str]) -> None:
        cells = [columns] + [
            [f"{line[c]:.1f}" if isinstance(line[c], float) else str(line[c] or 0) for c in columns] for line in lines
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
