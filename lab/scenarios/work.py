"""Jobs that cause trouble: one that kills its worker, and a schedule with no beat or with two."""

import time

from backroom.ledger import operations
from backroom.ledger.models import Job, State
from backroom.ops import rules, stats
from lab import tasks
from lab.checks import Check, complete
from lab.context import Context, NotSeen
from lab.faults import CHECKLIST, NAIVE, slots
from lab.poison import Poison, disarm_all

MANY = 5  # runs: more than any limit of the job


def poison_job(context: Context) -> Check:
    """A job that kills its worker process, and orders beside it."""
    poison = Poison(context.name)
    poison.arm()
    context.enqueue(tasks.poison, context.name)
    context.show("Enqueued a job that kills its process in each attempt.")
    context.buy_all(2)
    if context.variant == CHECKLIST:
        return lambda: poison_redelivered(context, poison)
    if context.variant == NAIVE:
        return lambda: poison_acknowledged(context, poison)
    mine = Job.objects.filter(task=tasks.poison.name, args__name=context.name)
    return complete(
        context,
        "The job is a dead letter after two attempts, and the other jobs ran. The lab replays it now, made harmless.",
        lambda: mine.filter(state=State.DEAD, attempts=2).exists(),
    )


def poison_redelivered(context: Context, poison: Poison) -> str:
    """Celery rejects the dead child's message, and the broker delivers it again, without a limit."""
    if poison.runs() < MANY or not context.count().complete:
        return ""
    return f"It ran {poison.runs()} times, killed a process each time, and would go on forever. No limit ends it."


def poison_acknowledged(context: Context, poison: Poison) -> str:
    """Celery acknowledged it before it ran, so it runs once."""
    if not (poison.runs() and context.count().complete) or tasks.poison.name in context.held():
        return ""
    if poison.runs() > 1:
        raise NotSeen(f"it ran {poison.runs()} times")
    return "It ran once, its process died, and no record of it is left."


def stop_beat(context: Context) -> Check:
    """No beat while a slot falls due."""
    beat, effects = context.stack.name("beat"), context.stack.effects
    context.stack.stop(beat)
    key = slots.add(1.0)
    context.show("Beat is stopped. A scheduled report is due in one second.")
    context.rest(3)
    if effects(key):
        raise NotSeen("the report was mailed without a beat")
    if context.ledgered:
        context.wait(beat_alert, "the alert that beat is down")
        context.show("Operations shows the alert: beat is down.")
    context.show("The report is due and not mailed. Beat starts again.")
    context.stack.start(beat)
    return lambda: "The report was mailed late, and once." if effects(key) == 1 else ""


def beat_alert() -> bool:
    """Whether the alert rule of Operations and the watcher fires."""
    return any(finding.rule.name == "beat-silent" and finding.wrong for finding in rules.findings(stats.snapshot(60)))


def two_beats(context: Context) -> Check:
    """Two beats and three slots."""
    context.stack.start(f"{context.stack.name('beat')}-2")
    due = time.monotonic() + 6  # a beat reads new slots every five seconds
    keys = [slots.add(6.0) for _ in range(3)]
    context.show("Two beats run. Three scheduled reports are due in six seconds.")
    expected = [1, 1, 1] if context.ledgered else [2, 2, 2]

    def check() -> str:
        sent = [context.stack.effects(key) for key in keys]
        grace = 10 if not context.ledgered and sum(sent) < 6 else 3  # a second mail would come beside the first
        if time.monotonic() < due + grace or not all(sent):
            return ""
        if sent != expected:
            raise NotSeen(f"three reports were due; {sum(sent)} were mailed, not {sum(expected)}")
        return f"Three reports were due. {sum(sent)} were mailed{', each once' if context.ledgered else ''}."

    return check


def clean_up() -> None:
    """Delete what experiments leave behind: slots, and poison."""
    slots.remove()
    disarm_all()
    dead = Job.objects.filter(task=tasks.poison.name, state=State.DEAD)
    operations.replay([str(id) for id in dead.values_list("id", flat=True)])
