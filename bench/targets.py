"""The targets of the benchmarks: how each is measured, and what bounds it. The only place for both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.contenders import STOCK

Row = dict[str, Any]
Figure = float | None  # None: not measured
STATEMENTS = ("claim", "finish", "due", "rescue")


class Measured:
    """What the measurements saved, by name."""

    def __init__(self, rows: Mapping[str, list[Row]]) -> None:
        self.rows = rows

    def find(self, name: str, **where: Any) -> list[Row]:
        """The rows of a measurement in which each column has this value."""
        return [row for row in self.rows.get(name, []) if all(row.get(each) == is_ for each, is_ in where.items())]

    def figure(self, name: str, column: str, **where: Any) -> Figure:
        return next((row[column] for row in self.find(name, **where) if row.get(column) is not None), None)

    def ratio(self, name: str, column: str, ours: Row, others: Row) -> Figure:
        above, below = self.figure(name, column, **ours), self.figure(name, column, **others)
        return above / below if above is not None and below else None


def of_jobs(column: str, contender: str) -> Callable[[Measured], Figure]:
    """The median of the rounds' ratios."""
    return lambda found: found.figure("jobs", f"ours_{column}", contender=contender)


def of_checkout(way: str) -> Callable[[Measured], Figure]:
    return lambda found: found.ratio("checkout", "ms", {"way": "ledger"}, {"way": way})


def of_growth(state: str, jobs: int) -> Callable[[Measured], Figure]:
    """The worst of the statements' ratios, from 10 thousand finished jobs to this number in this state."""

    def measure(found: Measured) -> Figure:
        few = found.find("growth", state="finished", jobs=10_000)
        many = found.find("growth", state=state, jobs=jobs)
        if not few or not many:
            return None
        return max(many[0][f"{each}_us"] / few[0][f"{each}_us"] for each in STATEMENTS)

    return measure


def of_start(column: str) -> Callable[[Measured], Figure]:
    return lambda found: found.ratio("start", column, {"worker": "ledger"}, {"worker": "bare Celery"})


def of_rescue(column: str, *what: str) -> Callable[[Measured], Figure]:
    """The worst of these faults."""
    return lambda found: max(
        (row[column] for each in what for row in found.find("rescue", what=each) if row.get(column) is not None),
        default=None,
    )


@dataclass(frozen=True)
class Target:
    what: str
    limit: float
    measure: Callable[[Measured], Figure]
    at_least: bool = False
    unit: str = "x"
    bound: str = ""  # what bounds it; shown where it is not met

    def is_met(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit


TWO_STATEMENTS = (
    "claim and finish: their CPU in the child and in PostgreSQL, which the full table of jobs has, and two commits"
    " that reach the disk"
)
COMMITS = "two commits reach the disk, claim and finish; Celery writes none"
STATEMENTS_OF_AN_ORDER = (
    "three statements more, two INSERTs of jobs and the cancellation of the safety net, and a publish"
)

TARGETS = (
    Target(f"drain, prefork x 2 ÷ {STOCK}", 1.5, of_jobs("drain_per_s", STOCK), at_least=True, bound=TWO_STATEMENTS),
    Target("drain ÷ procrastinate", 2, of_jobs("drain_per_s", "procrastinate"), at_least=True, bound=TWO_STATEMENTS),
    Target(
        "drain ÷ django-celery-outbox",
        1.5,
        of_jobs("drain_per_s", "django-celery-outbox"),
        at_least=True,
        bound=TWO_STATEMENTS,
    ),
    Target("drain ÷ relier", 2, of_jobs("drain_per_s", "relier"), at_least=True),
    Target(f"end to end at 50 jobs/s, median ÷ {STOCK}", 1.2, of_jobs("p50_ms_at_50", STOCK), bound=COMMITS),
    Target(f"end to end at 50 jobs/s, 99th percentile ÷ {STOCK}", 1.2, of_jobs("p99_ms_at_50", STOCK), bound=COMMITS),
    Target("checkout with its jobs ÷ the same without jobs", 1.1, of_checkout("no jobs"), bound=STATEMENTS_OF_AN_ORDER),
    Target("checkout ÷ on_commit + `.delay()` for each job", 0.75, of_checkout("delay"), bound=STATEMENTS_OF_AN_ORDER),
    Target(
        "20,000 jobs inserted in one call ÷ a `.delay()` loop",
        20,
        lambda found: found.ratio("enqueue", "jobs_per_s", {"way": "one call"}, {"way": ".delay() loop"}),
        at_least=True,
        bound="a job is built and checked in Python, and stands in several indexes",
    ),
    Target(
        "claim, finish, due, rescue (the worst): 10 million finished ÷ 10 thousand",
        1.1,
        of_growth("finished", 10_000_000),
        bound="of a statement that takes 20 µs, two runs differ by a tenth",
    ),
    Target(
        "the same: 1 million waiting ÷ none",
        1.3,
        of_growth("waiting", 1_000_000),
        bound="a due job enters an index of a million ready ones",
    ),
    Target(
        "10 jobs of one tenant behind 20,000 of another, with `fair`",
        2,
        lambda found: found.figure("fair", "few_s", way="fair"),
        unit="s",
    ),
    Target(
        "no-op jobs/s of both, with `fair` ÷ without",
        0.7,
        lambda found: found.figure("fair", "rate_ratio", way="fair"),
        at_least=True,
        bound="a job gets its place after the end of one before it, and stands in two indexes more",
    ),
    Target(
        "a member of a batch of 10,000 ÷ a plain job",
        1.15,
        lambda found: found.figure("batches", "ratio", way="members of a batch"),
        bound="a row in one more index, and a count of all members in at most a twentieth of the time",
    ),
    Target(
        "a reset's mail arrives with 10,000 mails of a campaign waiting, the longest",
        2,
        lambda found: found.figure("people", "longest_s", waiting=10_000),
        unit="s",
    ),
    Target(
        "checkout during a campaign ÷ without, median",
        1.2,
        lambda found: found.figure("people", "p50_ratio"),
        bound="the campaign's workers take a share of the two cores",
    ),
    Target(
        "the same, 99th percentile",
        1.2,
        lambda found: found.figure("people", "p99_ratio"),
        bound="the campaign's workers take a share of the two cores",
    ),
    Target(
        "checkout while an import is applied ÷ without, median",
        1.2,
        lambda found: found.figure("imports", "p50_ratio", phase="apply"),
        bound="the import takes a share of the two cores",
    ),
    Target(
        "`/ops/` at each look, 1 million jobs: PostgreSQL's CPU",
        20,
        lambda found: found.figure("pages", "database_cpu_ms", page="health, poll"),
        unit="ms",
    ),
    Target("memory of a worker with two children ÷ bare Celery worker", 1.2, of_start("memory_mb")),
    Target("seconds until a worker is ready ÷ bare Celery worker", 1.2, of_start("ready_s")),
    Target(
        "all processes of the shop at rest, of a core",
        3,
        lambda found: found.figure("idle", "core_percent", process="all"),
        unit="%",
        bound="heartbeats, a look for lost jobs each second, and what PostgreSQL does at rest",
    ),
    Target(
        "a killed worker's jobs run again beside another worker, median",
        2,
        of_rescue("claimed", "child", "main", "all"),
        unit="s",
    ),
    Target("the same, the longest trial", 3, of_rescue("longest", "child", "main", "all"), unit="s"),
    Target("a frozen worker's jobs run again, longest", 12, of_rescue("longest", "frozen"), unit="s"),
)
