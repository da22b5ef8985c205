"""`manage.py jobs`: show the back room; replay and cancel jobs; pause and resume queues and tasks."""

import difflib
import json
import os
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from django.db.models import QuerySet

from backroom.ledger import db_errors
from backroom.ledger.models import Job, Pause, State
from backroom.ops import audit_log, known, listings, stats
from backroom.ops.rates import WINDOW
from backroom.ops.report import queue, report
from backroom.runtime.app import CELERYS

WATCH_EVERY = 1.0  # seconds
CLEAR = "\033[H\033[2J"
LISTS = ["show", *listings.LISTINGS, "dead"]
ACTIONS = [*LISTS, "replay", "cancel", "pause", "resume"]


class Command(BaseCommand):
    help = (
        "Show queues, tasks, partners and workers; list running jobs, open batches, lanes, schedules or dead "
        "letters; replay or cancel these; cancel ready or waiting jobs; pause or resume. Exit status: 0 done, or "
        "nothing to do; 1 the database fails, or a named job, task or queue does not exist; 2 wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=ACTIONS, default="show")
        parser.add_argument("which", nargs="*", help="ids or keys (receipt:1001); to pause, queue:NAME or task:NAME")
        parser.add_argument("--task", help="all dead letters of this task; for dead, too")
        parser.add_argument("--all", action="store_true", help="all dead letters")
        parser.add_argument("--running", action="store_true", help="cancel: also jobs that run; see docs/resumable.md")
        parser.add_argument("--why", default="", type=audit_log.reason, help="reason for the audit log")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--watch", action="store_true", help="show, or running: once a second until Ctrl-C")

    def handle(self, action: str, watch: bool, **options: Any) -> None:
        try:
            self.do(action, **options)
            while watch and action in ("show", "running"):
                time.sleep(WATCH_EVERY)
                self.stdout.write(CLEAR if self.stdout.isatty() else "", ending="")
                self.do(action, **options)
            self.stdout.flush()
        except KeyboardInterrupt:
            return
        except BrokenPipeError:  # its reader has ended, such as head; Python flushes once more at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())
        except Error as error:
            if not db_errors.is_outage(error) and db_errors.code(error) != db_errors.UNDEFINED_TABLE:
                raise
            raise CommandError(f"the database (DATABASE_URL) fails: {db_errors.summary(error)}") from error

    def do(self, action: str, **options: Any) -> None:
        self.reject_unused_arguments(action, **options)
        if action == "show":
            return self.show(**options)
        if action in listings.LISTINGS:
            return self.show_list(listings.LISTINGS[action](), options["json"])
        if action == "dead":
            return self.show_list(listings.dead_letters(self.dead(options["task"])), options["json"])
        if action in ("pause", "resume"):
            return self.set_pause(action, **options)
        chosen = self.choose(**options)
        who, verb = audit_log.at_the_command_line(), "end" if options["running"] else action
        if action == "replay":
            done = audit_log.replay(chosen, who, options["why"])
        else:
            done = audit_log.cancel(chosen, who, options["why"], options["running"])
        count, behind = audit_log.summary(chosen, done)
        self.stdout.write(f"{count} of {len(chosen)} jobs{behind} {audit_log.PAST[verb]}")
        fitting = audit_log.VERBS[action] + (audit_log.VERBS["end"] if options["running"] else ())
        only = f"only {' or '.join(fitting)} jobs are {audit_log.PAST[action]}"
        for job in Job.objects.filter(id__in=set(chosen) - set(done)).exclude(state__in=fitting):
            ends = action == "cancel" and job.state == State.RUNNING
            self.stdout.write(f"{job} is {job.state}: {'cancel --running ends it' if ends else only}")

    def choose(self, which: list[str], task: str | None, all: bool, **_: Any) -> list[str]:
        """The ids that the arguments name. Raises CommandError for none and for unknown ones."""
        if (bool(which), task is not None, all).count(True) != 1:
            usage = "choose jobs in one way: ids or keys such as receipt:1001, --task NAME, or --all"
            raise CommandError(usage, returncode=2)
        if not which:
            return [str(id) for id in self.dead(task).values_list("id", flat=True)]
        found = {name: self.find(name) for name in which}
        if unknown := [name for name, id in found.items() if id is None]:
            raise CommandError(f"no such job: {', '.join(unknown)}")
        return [id for id in found.values() if id]

    def reject_unused_arguments(
        self, action: str, which: list[str], task: str | None, all: bool, running: bool, **_: Any
    ) -> None:
        """Raises CommandError for arguments that this action would ignore."""
        if running and action != "cancel":
            raise CommandError(f"{action} takes no --running. Only cancel does.", returncode=2)
        if action in LISTS and (which or all or (task is not None and action != "dead")):
            unused = "ids, keys or --all" if action == "dead" else "ids, keys, --task or --all"
            raise CommandError(f"{action} takes no {unused}. Only replay and cancel do.", returncode=2)

    def set_pause(self, action: str, which: list[str], why: str, task: str | None, all: bool, **_: Any) -> None:
        """Pause or resume a queue or task. Raises CommandError for an unknown one."""
        if len(which) != 1 or task is not None or all:
            raise CommandError("name one queue or task: queue:NAME or task:NAME", returncode=2)
        what = which[0]
        names = [f"queue:{name}" for name in current_app.amqp.queues] + [f"task:{name}" for name in known.tasks()]
        if what not in names and (action == "pause" or not Pause.objects.filter(what=what).exists()):
            raise unknown(f"there is no {what!r}", what, names)
        change = audit_log.pause if action == "pause" else audit_log.resume
        done = change(what, audit_log.at_the_command_line(), why)
        self.stdout.write(f"{what} is {action}d" if done else f"nothing to do: {what} is {audit_log.ALREADY[action]}")

    def dead(self, task: str | None) -> QuerySet[Job]:
        """The dead letters of a task, or all. A task that a release removed may have left some. Raises CommandError for
        an unknown one."""
        dead = Job.objects.filter(state="dead")
        if task is None:
            return dead
        names = {*known.tasks(), *dead.values_list("task", flat=True).distinct()}
        if task not in names:
            raise unknown(f"there is no task {task!r}", task, sorted(names))
        return dead.filter(task=task)

    def find(self, name: str) -> str | None:
        try:
            jobs = Job.objects.filter(id=uuid.UUID(name))
        except ValueError:
            jobs = Job.objects.filter(key=name)
        return next((str(job.id) for job in jobs), None)

    def show(self, **options: Any) -> None:
        found = stats.snapshot(WINDOW, limit=None)
        now = report(found)
        if options["json"]:
            return self.json(now)
        queues = [queue(each.level) for each in found.queues]  # the JSON leaves out the idle ones
        self.table(queues, ["queue", "ready", "waiting", "running", "dead", "oldest_s"])
        for pause in now["paused"]:
            self.stdout.write(f"{pause['what']} is paused, by {pause['who']}: {pause['why']}")
        for name, backlog in found.broker.backlogs.items():
            refuses = "refuses jobs of tasks with shed=True now" if backlog.full else "refuses nothing now"
            self.stdout.write(f"queue {name} {refuses}; {backlog.refused} refused so far")
        if found.broker.problem:
            self.stdout.write(f"the broker takes no messages: {found.broker.problem}")
        self.stdout.write(f"\nthe last {now['window_s']} s")
        columns = ["task", "per_minute", "retry_rate", "failure_rate", "wait_ms_p50", "run_ms_p50"]
        self.table([task for task in now["tasks"] if not task["task"].startswith(CELERYS)], columns)
        self.stdout.write("")
        if now["partners"] is None:
            self.stdout.write(f"breakers: unknown, as {found.broker.why_unknown}")
        else:
            gates = [{**gate, "since": gate["since"] or "-"} for gate in now["partners"]]
            self.table(gates, ["partner", "state", "since", "failures", "next_s", "rate"])
        self.stdout.write("")
        self.show_list(listings.running_jobs(), as_json=False)
        self.stdout.write("\nworkers: " + (", ".join(worker["name"] for worker in now["workers"]) or "none!"))

    def show_list(self, found: listings.Listing, as_json: bool) -> None:
        if as_json:
            return self.json(found.values)
        self.stdout.write("\n".join([*found.lines, f"{len(found.values)} {found.what}"]))

    def json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2))

    def table(self, lines: list[dict[str, Any]], columns: list[str]) -> None:
        cells = [columns] + [
            [f"{line[c]:.1f}" if isinstance(line[c], float) else str(line[c] or 0) for c in columns] for line in lines
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def unknown(problem: str, name: str, names: Iterable[str]) -> CommandError:
    """An error that suggests the nearest names, or all of them if none is near."""
    if near := difflib.get_close_matches(name, names := list(names), 3):
        return CommandError(f"{problem}. Did you mean {', '.join(near)}?")
    return CommandError(f"{problem}. There are {', '.join(names)}.")
