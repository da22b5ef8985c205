"""What operators do to jobs and schedules. One transaction holds each change and its entry: who, what, when and why."""

import getpass
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from backroom.ledger import operations
from backroom.ledger.models import Job, Pause, State
from backroom.ops.models import AuditEntry
from backroom.runtime.enqueue import Call, enqueue_all, new_id

# The states from which each verb starts.
VERBS = {"replay": (State.DEAD, State.CANCELLED), "cancel": (State.DEAD, State.READY, State.WAITING)}
PAST = {"replay": "replayed", "cancel": "cancelled"}


def replay(ids: Sequence[str], who: str, why: str, apart: float = 0.0) -> list[str]:
    """Replay dead or cancelled jobs, `apart` seconds one after the other. Returns the ids of the replayed ones."""
    with transaction.atomic():
        rate = f", one every {apart:g} s" if apart else ""
        return _record("replayed", operations.replay(ids, apart), who, why, rate)


def edit(id: str, args: dict[str, Any], who: str, why: str) -> bool:
    """Replay a dead or cancelled job with other arguments. False if it is neither any more."""
    with transaction.atomic():
        before = Job.objects.get(id=id).args
        done = operations.replay([id], args=args)
        return bool(_record("edited and replayed", done, who, why, f", its arguments before: {json.dumps(before)}"))


def cancel(ids: Sequence[str], who: str, why: str) -> list[str]:
    """Cancel ready, waiting and dead jobs and those behind them. Returns the ids of the cancelled ones."""
    with transaction.atomic():
        done = operations.cancel(ids=ids, dead=True, why=f"cancelled by {who}" + (why and f": {why}"))
        return _record("cancelled", done, who, why)


def pause(what: str, who: str, why: str) -> bool:
    """Pause a queue ("queue:bulk") or a task ("task:orders.mail_receipt") for all workers, until it is resumed. Running
    jobs go on. False if it is paused already."""
    with transaction.atomic():
        _, new = Pause.objects.get_or_create(what=what, defaults={"who": who, "why": why})
        return new and _note("paused", what, who, why)


def resume(what: str, who: str, why: str) -> bool:
    """Resume a queue or a task. False if it is not paused."""
    with transaction.atomic():
        gone, _ = Pause.objects.filter(what=what).delete()
        return bool(gone) and _note("resumed", what, who, why)


def run(schedule: str, call: Call, who: str, why: str) -> tuple[str, bool]:
    """Enqueue the call of a schedule. Returns the job's id; False if a job had the call's key already."""
    fresh = replace(call, id=new_id())
    with transaction.atomic():
        (id,) = enqueue_all(fresh)
        if new := id == fresh.id:
            AuditEntry.objects.create(who=who, verb="ran", what=f"schedule {schedule}", jobs=[id], why=why)
    return id, new


def note(verb: str, what: str, who: str) -> None:
    """Record a change of the caller's transaction."""
    AuditEntry.objects.create(who=who, verb=verb, what=what, why="")


def _note(verb: str, what: str, who: str, why: str) -> bool:
    AuditEntry.objects.create(who=who, verb=verb, what=what.replace(":", " ", 1), why=why)
    return True


def _record(verb: str, done: list[str], who: str, why: str, more: str = "") -> list[str]:
    if done:
        first = str(Job.objects.get(id=done[0]))
        what = (first if len(done) == 1 else f"{len(done)} jobs, {first} and others") + more
        AuditEntry.objects.create(who=who, verb=verb, what=what, jobs=done, why=why)
    return done


def at_the_command_line() -> str:
    """The audit log's name for a person at the command line: the machine's user."""
    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown user at the command line"
