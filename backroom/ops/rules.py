"""When the back room calls for a person: every rule, with what it reads, from where on that is wrong, and what to do.

The operations page shows what is wrong by these rules now. A watcher (backroom/ops/watcher.py) mails what has been wrong for
`lasting` seconds, once, and that it is over once it has been well for as long. Prometheus' rules have these figures.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from backroom.ledger.rescue import SILENCE
from backroom.ops.rates import seconds
from backroom.ops.stats import SILENT, Health
from backroom.runtime.conf import conf

LASTING = 60  # seconds: longer than a deploy or the start of the shop leaves a place empty
CALM = 0.8  # share of its limit at which what has fired is well again: a figure that sways about the limit calls once
WINDOW = 600  # seconds that the rates look back
LEAST = 20  # jobs of a task that must have ended within them: one failure of three says nothing yet


class Reading(NamedTuple):
    """A figure that a rule reads of one subject (a queue, a task, a partner), and what else is worth saying of it."""

    subject: str
    value: float
    also: str = ""


@dataclass(frozen=True)
class Rule:
    """More than `over` is wrong. `when` may name the {limit}; `says` also the {subject}, its {value} and {also}."""

    name: str
    reads: Callable[[Health], Iterable[Reading]]
    over: float
    when: str
    says: str
    do: str
    shown: Callable[[float], str] = seconds
    over_of: Mapping[str, float] = field(default_factory=dict)  # subjects with a limit of their own
    left: str = ""  # what there may still be to do when it is over
    lasting: float = LASTING  # seconds
    watched: bool = True  # False: for the page and Prometheus only

    def limit(self, subject: str) -> float:
        """From where on this subject's figure is wrong."""
        return self.over_of.get(subject, self.over)

    @property
    def condition(self) -> str:
        """When it is wrong, in words."""
        own = "".join(f"{subject} {self.shown(limit)}, " for subject, limit in self.over_of.items())
        return self.when.format(limit=f"{own}any other {self.shown(self.over)}" if own else self.shown(self.over))


@dataclass(frozen=True)
class Finding:
    """What a rule found: wrong, or, if it has fired already, not well yet."""

    rule: Rule
    subject: str
    says: str
    wrong: bool


def _silence_of(role: str) -> Callable[[Health], Iterable[Reading]]:
    return lambda health: [Reading("", health.silent_s(role))]


def _silent_queues(health: Health) -> Iterable[Reading]:
    wanted = (queue for queue in health.queues if queue.wanted)
    return (Reading(queue.name, queue.silent_s, f"{queue.level.depth} to run now") for queue in wanted)


def _oldest(health: Health) -> Iterable[Reading]:
    """What is paused is never late (history.QUEUES)."""
    return (Reading(queue.name, queue.level.oldest_s, f"{queue.level.depth} to run now") for queue in health.queues)


def _failures(health: Health) -> Iterable[Reading]:
    for task, ended in health.ended_by("task", WINDOW).items():
        if ended.finished >= LEAST:
            yield Reading(task, ended.failure_rate, f"{ended.dead} of {ended.finished}")


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _deaths(health: Health) -> Iterable[Reading]:
    died = health.ended_by("queue", WINDOW)
    for queue in health.queues:
        if queue.name in died:
            yield Reading(queue.name, died[queue.name].dead, f"{queue.level.dead} wait for a decision")


def _open_breakers(health: Health) -> Iterable[Reading]:
    for gate in health.partners or ():
        if gate["state"] != "closed" and gate["since"]:
            yield Reading(gate["partner"], (health.now - gate["since"]).total_seconds())


def _absent_broker(health: Health) -> Iterable[Reading]:
    return [Reading("", 0.0 if health.broker else 1.0)]


def _absent_database(health: Health) -> Iterable[Reading]:
    """Whoever could look has a database; a watcher that can't knows (backroom/ops/watcher.py)."""
    return ()


DATABASE = Rule(
    "database-away", _absent_database, over=0,
    when="the database does not answer a watcher",
    says="The database does not answer: nothing is sold and nothing runs ({also}).",
    do="Bring PostgreSQL back; all else waits for it and goes on by itself.",
)  # fmt: skip

RULES = (
    DATABASE,
    Rule(
        "broker-away", _absent_broker, over=0,
        when="the broker does not answer",
        says="The broker does not answer: orders are taken, but their jobs wait.",
        do="Bring Valkey or Redis back; the dispatcher then publishes what waits.",
    ),
    Rule(
        "dispatcher-silent", _silence_of("dispatcher"), over=SILENT["dispatcher"],
        when="no dispatcher has been seen for {limit}",
        says="No dispatcher is at work: retries and delayed jobs stand still, and nothing lost is rescued.",
        do="Start one (manage.py dispatcher); if one runs, its log says what it waits for.",
    ),
    Rule(
        "beat-silent", _silence_of("beat"), over=SILENT["beat"],
        when="no beat has been seen for {limit}",
        says="No beat is at work: nothing that is scheduled begins, not even the reconciler.",
        do="Start one (celery -A shop beat); slots that passed become one late firing.",
    ),
    Rule(
        "watcher-silent", _silence_of("watcher"), over=SILENT["watcher"], watched=False,
        when="no watcher has been seen for {limit}; no mail can say so",
        says="No watcher is at work: nobody is mailed when something is wrong.",
        do="Start one (manage.py watcher); its log says why the last one ended.",
    ),
    Rule(
        "queue-without-worker", _silent_queues, over=SILENCE,
        when="no worker of a queue has been seen for {limit}",
        says="No worker serves the queue {subject} ({also}).",
        do="Start one for this queue; jobs that the last one had in hand go back by themselves.",
    ),
    Rule(
        "queue-late", _oldest, over=120, over_of=conf.QUEUE_OBJECTIVES,
        when="the oldest job of a queue has been due for longer than its objective: {limit}",
        says="The oldest job of the queue {subject} has been due for {value}, over its objective of {limit} ({also}).",
        do="Look what its workers are busy with; add workers, or pause a task that floods the queue.",
    ),
    Rule(
        "failure-rate", _failures, over=0.05, shown=_percent,
        when=f"over {{limit}} of the jobs of a task failed within ten minutes, of {LEAST} or more",
        says="{value} of the jobs of {subject} failed within ten minutes ({also}); {limit} is the limit.",
        do="Read the cause under Dead letters; mend it, then replay the group.",
        left="Those that failed wait under Dead letters, until somebody decides.",
    ),
    Rule(
        "dead-letters-growing", _deaths, over=2, shown="{:.0f}".format,
        when="over {limit} jobs of a queue became dead letters within ten minutes",
        says="{value} jobs of the queue {subject} became dead letters within ten minutes ({also}).",
        do="Read the causes under Dead letters; each waits for a decision: replay, edit or cancel.",
        left="No more came within ten minutes; those that came wait under Dead letters, until somebody decides.",
    ),
    Rule(
        "breaker-open", _open_breakers, over=300,
        when="the breaker of a partner has been open for over {limit}",
        says="The partner {subject} has been away for {value}: its breaker is open, its jobs wait.",
        do="Ask the partner; its jobs use no attempt meanwhile and go on by themselves.",
    ),
)  # fmt: skip

BY_NAME = {rule.name: rule for rule in RULES}


def findings(health: Health) -> list[Finding]:
    """All that is wrong, and what would not be well yet if it had fired; in the order of the rules."""
    found = []
    for rule in RULES:
        for subject, value, also in rule.reads(health):
            limit = rule.limit(subject)
            if value > CALM * limit:
                says = rule.says.format(subject=subject, value=rule.shown(value), limit=rule.shown(limit), also=also)
                found.append(Finding(rule, subject, says, value > limit))
    return found


def notes(health: Health) -> Iterable[str]:
    """What staff should know although nobody need be called for it."""
    for pause in health.paused.values():
        yield f"The {pause.kind} {pause.name} is paused, by {pause.who}: {pause.why}"
    if dead := sum(queue.level.dead for queue in health.queues):
        yield f"{dead} dead letter{'' if dead == 1 else 's'} wait for a decision."
    limit = BY_NAME["breaker-open"].over
    for partner, open_for, _ in _open_breakers(health):
        if open_for <= limit:
            yield f"The breaker of {partner} is open: its jobs wait and use no attempt."
