"""What operators do to jobs and schedules. One transaction holds each change and its entry: who, what, when and why."""

import getpass
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Q

from backroom.ledger import operations
from backroom.ledger.models import Job, Pause, State
from backroom.ops import schedules
from backroom.ops.models import AuditEntry
from backroom.runtime import slots
from backroom.runtime.call import Call, new_id
from backroom.runtime.enqueue import enqueue_all

WHY_LIMIT = 200  # characters
BATCH_SHOWN = 1_000  # ids of a cancelled batch in its entry
REASON_NEEDED = "Enter a reason. The audit log keeps it."

# The states from which each verb starts.
VERBS = {
    "replay": (State.DEAD, State.CANCELLED),
    "cancel": (State.DEAD, State.READY, State.WAITING),
    "try": (State.WAITING,),
    "end": (State.RUNNING,),
}
ALREADY = {"pause": "paused already", "resume": "not paused"}
PAST = {"replay": "replayed", "cancel": "cancelled", "try": "set to run now", "end": "asked to end"}


def reason(typed: str) -> str:
    """A typed reason as the audit log keeps it; "" if it has no character to keep."""
    return typed.replace("\x00", "").strip()[:WHY_LIMIT]


def fits(verb: str) -> Q:
    """The jobs that this verb would change. One that waits for another job or for a place, not for a time, can't be
    tried now."""
    timed = Q(run_at__isnull=False) & (Q(place=None) | Q(place__gt=0))
    return Q(state__in=VERBS[verb]) & (timed if verb == "try" else Q())


def replay(ids: Sequence[str], who: str, why: str, apart: float = 0.0) -> list[str]:
    """Replay dead or cancelled jobs, `apart` seconds one after the other. Returns the ids of the replayed ones."""
    with transaction.atomic():
        return _record("replay", ids, operations.replay(ids, apart), who, why, apart)


def try_now(ids: Sequence[str], who: str, why: str, apart: float = 0.0) -> list[str]:
    """Let jobs that wait for a time run now, or one every `apart` seconds. Returns the ids of those that did wait."""
    with transaction.atomic():
        return _record("try", ids, operations.reschedule(ids=ids, apart=apart), who, why, apart)


def edit(id: str, args: dict[str, Any], who: str, why: str) -> bool:
    """Replay a dead or cancelled job with other arguments. False if it is neither any more."""
    with transaction.atomic():
        before = Job.objects.get(id=id)
        done = operations.replay([id], args=args)
        if done:
            what = f"{before}, its arguments before: {json.dumps(before.args)}"
            note("edited and replayed", what, who, why, done)
        return bool(done)


def cancel(ids: Sequence[str], who: str, why: str, running: bool = False) -> list[str]:
    """Cancel ready, waiting and dead jobs and those behind them; with `running`, ask those that run to end. Returns the
    ids of both."""
    with transaction.atomic():
        reason = f"cancelled by {who}" + (why and f": {why}")
        done = operations.cancel(ids=ids, dead=True, running=running, why=reason)
        return _record("end" if running else "cancel", ids, done, who, why)


def cancel_batch(id: str, who: str, why: str) -> list[str]:
    """Cancel a batch's callback, the members that have not begun or are dead, and what waits for these. Returns their
    ids."""
    with transaction.atomic():
        done = operations.cancel(batches=[id], dead=True, why=f"cancelled by {who}: {why}")
        if done:
            note("cancelled", f"batch {id}, {len(done)} jobs", who, why, done[:BATCH_SHOWN])
        return done


def pause(what: str, who: str, why: str) -> bool:
    """Pause a queue ("queue:bulk") or a task ("task:orders.mail_receipt") for all workers, until it is resumed. Running
    jobs go on. False if it is paused already."""
    with transaction.atomic():
        _, new = Pause.objects.get_or_create(what=what, defaults={"who": who, "why": why})
        return new and _note_pause("paused", what, who, why)


def resume(what: str, who: str, why: str) -> bool:
    """Resume a queue or a task. False if it is not paused."""
    with transaction.atomic():
        gone, _ = Pause.objects.filter(what=what).delete()
        return bool(gone) and _note_pause("resumed", what, who, why)


def run(schedule: str, call: Call, who: str, why: str) -> tuple[str, bool]:
    """Enqueue the call of a schedule, also on an overloaded queue. Returns the job's id; False if a job had the call's
    key already."""
    fresh = replace(call, id=new_id(), shed=False)
    with transaction.atomic():
        (id,) = enqueue_all(fresh)
        if new := id == fresh.id:
            note("ran", f"schedule {schedule}", who, why, [id])
    return id, new


def switch(schedule: str, on: bool, who: str, why: str) -> bool:
    """Resume or pause a schedule. False if it is so already."""
    with transaction.atomic():
        changed = slots.switch(schedules.entries().select_for_update(of=("self",)).get(name=schedule), on)
        if changed:
            note("resumed" if on else "paused", f"schedule {schedule}", who, why)
        return changed


def note(verb: str, what: str, who: str, why: str = "", jobs: Sequence[str] = ()) -> None:
    """Write an entry, in the transaction of the change: "cancelled", "order 1001". A project's own pages may, too."""
    AuditEntry.objects.create(who=who, verb=verb, what=what, jobs=list(jobs), why=why)


def summary(chosen: Sequence[str], done: Sequence[str]) -> tuple[int, str]:
    """How many of the chosen jobs were changed, and of those that waited for them: (1, " and 2 behind it")."""
    count = len({*chosen} & {*done})
    behind = len(done) - count
    return count, f" and {behind} behind {'it' if count == 1 else 'them'}" if behind else ""


def _note_pause(verb: str, what: str, who: str, why: str) -> bool:
    note(verb, what.replace(":", " ", 1), who, why)
    return True


def _record(verb: str, ids: Sequence[str], done: list[str], who: str, why: str, apart: float = 0.0) -> list[str]:
    if done:
        count, behind = summary(ids, done)
        changed = {*done}
        first = Job.objects.only("key", "task").get(id=next((id for id in ids if id in changed), done[0]))
        what = str(first) if count == 1 else f"{count} jobs, {first} and others"
        note(PAST[verb], what + behind + (f", one every {apart:g} s" if apart else ""), who, why, done)
    return done


def at_the_command_line() -> str:
    """The audit log's name for a person at the command line: the machine's user."""
    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown user at the command line"
