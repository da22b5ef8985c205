"""The alert rules: the value that each reads, its limit, what the alert says, and what to do.

The operations page evaluates them on each load. A watcher (backroom/ops/watcher.py) mails an alert once it has lasted
for `lasting` seconds, and mails once more when it has recovered for as long. `manage.py prometheus_rules` prints them
for Prometheus, which has monitoring/prometheus/rules.yml from it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from backroom.conf import conf
from backroom.ops import readings
from backroom.ops.formats import seconds
from backroom.ops.readings import LEAST, WINDOW
from backroom.ops.stats import Snapshot
from backroom.runtime.backpressure import OBJECTIVE
from backroom.runtime.heartbeat import SILENT

LASTING = 60  # seconds: a deploy or a start leaves a process missing for less
CALM = 0.8  # share of its limit below which a fired alert recovers: a value around its limit is mailed once
MINUTES = WINDOW // 60
FOREIGN_NEWS = timedelta(days=1)  # for which a foreign message is an open item


class Unit(NamedTuple):
    """How a value is written here, and the function that writes it in Prometheus' templates."""

    shown: Callable[[float], str]
    template: str


SECONDS = Unit(seconds, "humanizeDuration")
SHARE = Unit(lambda share: f"{share * 100:.3g} %", "humanizePercentage")
COUNT = Unit("{:.0f}".format, "humanize")


@dataclass(frozen=True)
class Rule:
    """A value over `over` is wrong. `when` may name the {limit}, `says` the {subject} and its {value}.

    `expr` is the same condition in PromQL, `label` the label that holds the subject there. `detail` may name the
    {limit} and the reading's {detail}; Prometheus leaves it out.
    """

    name: str
    reads: readings.Read
    over: float
    when: str
    says: str
    do: str
    expr: str
    label: str = ""
    detail: str = "{detail}"
    unit: Unit = SECONDS
    limits: Mapping[str, float] = field(default_factory=dict)  # subjects with a limit of their own
    left: str = ""  # what remains to be done after recovery
    lasting: float = LASTING  # seconds
    needs_broker: bool = False  # whether the broker must answer before anything else can mend it
    watched: bool = True  # False: for the page and Prometheus only

    def limit(self, subject: str) -> float:
        return self.limits.get(subject, self.over)

    @property
    def condition(self) -> str:
        """`when` with the limits filled in."""
        own = "".join(f"{subject} {self.unit.shown(limit)}, " for subject, limit in self.limits.items())
        limit = self.unit.shown(self.over)
        when = self.when.format(limit=f"{own}any other {limit}" if own else limit)
        return f"{when}, while the broker takes messages" if self.needs_broker else when

    def text(self, reading: readings.Reading) -> str:
        """One sentence for people."""
        shown, limit = self.unit.shown, self.limit(reading.subject)
        says = self.says.format(subject=reading.subject, value=shown(reading.value))
        detail = self.detail.format(limit=shown(limit), detail=reading.detail)
        return f"{says} ({detail})." if detail else f"{says}."


@dataclass(frozen=True)
class Finding:
    """A value over its limit (`wrong`), or one that keeps an alert firing."""

    rule: Rule
    subject: str
    says: str
    wrong: bool


def ended(by: str, outcome: str) -> str:
    """PromQL: the jobs that ended within the window."""
    return f'sum by ({by}) (increase(backroom_job_attempts_total{{outcome=~"{outcome}"}}[{MINUTES}m]))'


def silent(role: str, says: str, do: str, when: str = "", watched: bool = True) -> Rule:
    """The rule for a role of which at least one process should run."""
    return Rule(
        f"{role}-silent", readings.silence_of(role), over=SILENT[role], watched=watched,
        when=f"no {role} has been seen for {{limit}}{when}", says=f"No {role} is running: {says}", do=do,
        expr=f'backroom_processes{{role="{role}"}} == 0',
    )  # fmt: skip


DATABASE = Rule(
    "database-away", readings.database_down, over=0,
    when="the database does not answer a watcher, or takes no writes",
    says="The database is down: no job can be enqueued or run",
    do="Bring PostgreSQL back. Every process reconnects by itself.",
    expr="backroom_ledger_up == 0",
)  # fmt: skip

RULES = (
    DATABASE,
    Rule(
        "broker-away", readings.broker_down, over=0,
        when="the broker does not answer, or refuses messages",
        says="The broker takes no messages: new jobs wait in the ledger",
        do="Bring Valkey or Redis back, or mend what it says. A dispatcher then publishes the waiting jobs.",
        expr="backroom_broker_up == 0",
    ),
    Rule(
        "disk-full", readings.full_disks, over=0, label="folder",
        when="a disk in BACKROOM_DISKS has less than 5 % and less than 1 GB free",
        says="The disk of {subject} is full", do="Free space there. What stopped for it starts again by itself.",
        expr="backroom_disk_full == 1",
    ),
    silent(
        "dispatcher", "due jobs are not published, and lost jobs are not rescued",
        "Start one: manage.py dispatcher. If one is running, read its log.",
    ),
    silent(
        "beat", "scheduled tasks do not start",
        "Start one: celery beat. It makes up for missed slots as each schedule says.",
    ),
    silent(
        "watcher", "no alert is mailed", "Start one: manage.py watcher. The last one's log says why it stopped.",
        when="; no mail can say so", watched=False,
    ),
    Rule(
        "queue-without-worker", readings.silent_queues, over=SILENT["worker"], label="queue",
        when="no worker of a queue has been seen for {limit}",
        says="No worker serves queue {subject}",
        do="Start a worker for this queue. The jobs of a lost worker are requeued automatically.",
        expr="backroom_queue_workers == 0", needs_broker=True,
    ),
    Rule(
        "queue-late", readings.oldest, over=OBJECTIVE, limits=conf.QUEUE_OBJECTIVES, label="queue",
        when="the oldest job of a queue has been due for longer than its objective: {limit}",
        says="Queue {subject} is late: its oldest job has been due for {value}", detail="objective {limit}, {detail}",
        do="Check what its workers are running. Add workers, or pause the task that floods the queue.",
        expr="backroom_queue_oldest_seconds > on (queue) backroom_queue_objective_seconds", needs_broker=True,
    ),
    Rule(
        "failure-rate", readings.failures, over=0.05, unit=SHARE, label="task",
        when=f"over {{limit}} of the jobs of a task failed within ten minutes, of {LEAST} or more",
        says="{value} of the jobs of {subject} failed within ten minutes", detail="{detail}, limit {limit}",
        do="Read the cause under Dead letters, fix it, then replay the group.",
        left="Decide about the dead letters: replay, edit or cancel.",
        expr=f"{ended('task', 'dead')} / {ended('task', 'succeeded|dead')} > %(limit)g"
             f" and round({ended('task', 'succeeded|dead')}) >= {LEAST}",
    ),
    Rule(
        "dead-letters-growing", readings.deaths, over=2, unit=COUNT, label="queue",
        when="over {limit} jobs of a queue became dead letters within ten minutes",
        says="{value} jobs of queue {subject} became dead letters within ten minutes",
        do="Read the causes under Dead letters, then replay, edit or cancel each job.",
        left="No more came within ten minutes. Decide about those that did: replay, edit or cancel.",
        # Rounded, as increase() makes a little more than two of two.
        expr=f"round({ended('queue', 'dead')}) > %(limit)g",
    ),
    Rule(
        "partner-failing", readings.failing_partners, over=60, label="partner",
        when="every call of a partner has failed for over {limit}",
        says="Every call of {subject} has failed for {value}",
        do="Contact the partner. While its breaker is open, its jobs use no attempt; they continue by themselves.",
        expr="backroom_partner_failing_seconds > %(limit)g",
    ),
)  # fmt: skip

BY_NAME = {rule.name: rule for rule in RULES}


def findings(now: Snapshot) -> list[Finding]:
    """Each value above its limit, or not far enough below it for a recovery; in the order of the rules. While the
    broker is away, its own alert stands for those that need it: they neither begin nor recover."""
    found = []
    for rule in RULES:
        for reading in rule.reads(now):
            limit = rule.limit(reading.subject)
            if reading.value > CALM * limit:
                wrong = reading.value > limit and not (rule.needs_broker and now.broker.problem)
                found.append(Finding(rule, reading.subject, rule.text(reading), wrong))
    return found


def notes(now: Snapshot, broken: Collection[str] = (), schedules: Iterable[Mapping[str, Any]] = ()) -> Iterable[str]:
    """What staff should know beside the `broken` rules, which are named; of the lines of schedules.py the errors."""
    for pause in now.pauses.values():
        yield f"{pause.kind.title()} {pause.name} is paused by {pause.who}: {pause.why}"
    if now.foreign and now.now - now.foreign[0].at < FOREIGN_NEWS:
        yield "A queue held messages that are no job's: see Foreign messages. Check who else has the broker's password."
    for line in schedules:
        if line["error"]:
            yield f"Schedule {line['name']} does not run: {line['error']}"
    for name, backlog in now.broker.backlogs.items():
        if backlog.full:
            yield (
                f"Queue {name} is overloaded: {backlog.depth} jobs wait, the oldest for {seconds(backlog.oldest_s)}. "
                f"It refuses jobs of tasks with shed=True, {backlog.refused} so far."
            )
    dead = sum(queue.level.dead for queue in now.queues)
    if dead and "dead-letters-growing" not in broken:  # which says how many there are in all
        count = f"{dead:,}+" if any("dead" in queue.level.more for queue in now.queues) else dead
        yield f"{count} dead letter{' needs' if dead == 1 else 's need'} a decision."
    for batch in now.batches:
        if batch.waits_for == "a person":
            yield f"Batch {batch} waits for a person: {batch.dead} dead, {batch.cancelled} cancelled."
    for lane in now.lanes:
        if lane.blocked:
            yield f"Lane {lane.name} waits for a person: a dead letter blocks it."
    for partner, failing_s, detail in readings.failing_partners(now):
        if failing_s <= BY_NAME["partner-failing"].over:
            yield f"Calls of {partner} fail ({detail})."
