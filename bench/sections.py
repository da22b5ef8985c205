"""The sections of docs/benchmarks.md: the text, the table and the plot of each measurement."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import series
from bench.targets import Measured, Row

Plot = Callable[[Measured], tuple[str, tuple[Any, ...], dict[str, Any]] | None]  # function of plots.py, its arguments


@dataclass(frozen=True)
class Section:
    """`columns` names the columns of the table, in order, by their heading; empty: all as they are. The text may use
    the parameters of the measurement."""

    name: str
    title: str
    text: str
    columns: Mapping[str, str] = field(default_factory=dict)
    plot: Plot | None = None
    alt: str = ""  # of the plot
    summary: Callable[[Measured], list[Row]] | None = None  # the rows of a table above; the whole one is folded then


IN_SHORT = (
    "contender",
    "drain_per_s",
    "ours_drain_per_s",
    "p50_ms_at_50",
    "p99_ms_at_50",
    "cpu_us",
    "memory_mb",
    "reason",
)


def hurt_summary(found: Measured) -> list[Row]:
    """A row for each contender, a column for each case."""
    rows: dict[str, Row] = {}
    for each in found.rows["hurt"]:
        row = rows.setdefault(each["contender"], {"": each["contender"]})
        row[each["case"].replace("_", " ")] = ", ".join(hurt_words(each)) or "nothing lost"
    return list(rows.values())


def hurt_words(row: Row) -> Iterator[str]:
    if row.get("lost") is None:  # not measured
        yield str(row.get("note", ""))
    if row.get("lost"):  # some queues give them back later: the note says when
        yield f"{row['lost']} " + ("not back in time" if row["case"] == "worker_killed" else "lost")
    if row.get("done_twice"):
        yield f"{row['done_twice']} twice"
    if row.get("runs"):
        yield "it never ran again" if row["runs"] == 1 else f"it ran {row['runs']} times"
    if row.get("again_s") is not None:
        yield f"again after {row['again_s']:.1f} s"
    if row.get("waited_s") is not None:
        yield f"the caller waited {row['waited_s']:.1f} s" + (" and got an error" if row.get("note") else "")


SECTIONS = (
    Section(
        "jobs",
        "Jobs",
        "Each contender as its own documentation recommends, with events on, production settings and two bodies at a"
        " time. All run the same bodies, in interleaved rounds: [`bench/contenders`](../bench/contenders/__init__.py).",
        {
            "contender": "contender", "drain_per_s": "drained, jobs/s", "ours_drain_per_s": "ours ÷ its",
            "enqueue_per_s": "enqueued one by one, jobs/s", "enqueue_many_per_s": "as one batch, or in a loop",
            "p50_ms_at_50": "p50 at 50/s, ms", "p99_ms_at_50": "p99 at 50/s", "p50_ms_at_200": "p50 at 200/s, ms",
            "p99_ms_at_200": "p99 at 200/s", "cpu_us": "CPU a job, µs", "cpu_us_main": "of the main process",
            "cpu_us_children": "its children", "cpu_us_services": "services", "cpu_us_postgresql": "PostgreSQL",
            "cpu_us_valkey": "Valkey", "memory_mb": "workers, MB",
            "services_mb": "its services, MB", "ready_s": "first job after, s", "reason": "not measured",
        },
        series.drain,
        "No-op jobs per second of each contender, and the jobs that were not done after all faults",
        lambda found: [{key: row.get(key) for key in IN_SHORT} for row in found.rows["jobs"]],
    ),
    Section(
        "hurt",
        "When it is hurt",
        "One script hurts all alike, each case once: [`bench/hurt.py`](../bench/hurt.py). *Lost*: not done within"
        " {limit_s} seconds, {limit_after_a_workers_death_s} after a worker's death; a note says what brings it back"
        " later. *Twice*: done, or begun, more than once. *Again*: until a hurt job runs again, median and longest.",
        {
            "case": "case", "contender": "contender", "jobs": "jobs", "hurt": "hurt", "lost": "lost",
            "done_twice": "done twice", "begun_twice": "begun twice", "again_s": "again, s",
            "again_max_s": "longest, s", "waited_s": "caller waited, s", "next_waited_s": "the next one",
            "runs": "runs", "note": "",
        },
        summary=hurt_summary,
    ),
    Section(
        "rescue",
        "A dead worker's jobs",
        "Median seconds from the fault until each step: [`bench/rescue.py`](../bench/rescue.py).",
    ),
    Section(
        "web",
        "Checkout",
        "An order through gunicorn: two processes with four threads each. *Floor*: the same SQL through psycopg in a"
        " bare WSGI application. The folded table adds orders under faults: [`bench/web.py`](../bench/web.py).",
        {
            "what": "fault", "way": "way", "concurrency": "customers", "p50_ms": "p50, ms", "p99_ms": "p99, ms",
            "per_s": "orders/s", "web_ms": "web CPU, ms", "postgres_ms": "PostgreSQL CPU, ms", "failed": "failed",
        },
        series.web,
        "The median of an order's answer, for each way of doing its work",
        lambda found: found.find("web", what=""),
    ),
    Section(
        "checkout",
        "An order's jobs",
        "The same order in one process, without a gateway: all of its time, and its CPU time. *Delay* is on_commit and"
        " one `.delay()` for each job.",
        {"way": "way", "ms": "ms", "python_ms": "Python CPU, ms", "postgres_ms": "PostgreSQL CPU, ms"},
    ),
    Section(
        "enqueue",
        "Enqueueing",
        "Neither a worker nor a dispatcher runs: one call only inserts the jobs, `.delay()` also publishes. Memory is"
        " what the process grows by, at its peak.",
        {"way": "way", "jobs": "jobs", "jobs_per_s": "jobs/s", "growth_mb": "MB more"},
    ),
    Section(
        "burst",
        "A burst",
        "{jobs:,} jobs that do nothing come at once into the queue `bulk` of the whole shop, while two customers order"
        " and a `critical` job comes four times a second. *Before* is the same load without the burst.",
        {
            "accepted_s": "accepted in, s", "drained_s": "drained in, s", "jobs_per_s": "jobs/s",
            "oldest_s": "oldest age, s", "grown_mb": "all processes grow by, MB",
            "checkout_before_p50_ms": "checkout before, p50, ms", "checkout_p50_ms": "checkout meanwhile, p50, ms",
            "checkout_before_p99_ms": "checkout before, p99, ms", "checkout_p99_ms": "checkout meanwhile, p99, ms",
            "critical_before_p50_ms": "critical before, p50, ms", "critical_p50_ms": "critical meanwhile, p50, ms",
            "critical_before_p99_ms": "critical before, p99, ms", "critical_p99_ms": "critical meanwhile, p99, ms",
        },
        series.burst,
        "The age of the oldest job, and the memory of four processes, over the seconds of the burst",
    ),
    Section(
        "fair",
        "Turns",
        "One tenant enqueues {jobs:,} jobs that do nothing, another {few} once these are published; one worker of two"
        " children. *The few* are done so long after they were enqueued. A job of a lane costs a place of its own,"
        " which shows most where a body does nothing.",
        {"way": "way", "few_s": "the few, s", "jobs_per_s": "all, jobs/s", "rate_ratio": "÷ without turns"},
    ),
    Section(
        "people",
        "A campaign, and people who wait",
        "Mails of a campaign wait. {resets} people in turn ask for a new password: seconds until the mail"
        " server has the mail. {customers} customers order in interleaved rounds, without a campaign and during the"
        " largest.",
        {
            "waiting": "mails waiting", "reset_s": "reset, median, s", "longest_s": "longest, s",
            "checkout_p50_ms": "checkout, p50, ms", "checkout_p99_ms": "p99, ms",
            "p50_ratio": "p50 ÷ without", "p99_ratio": "p99 ÷ without",
        },
    ),
    Section(
        "imports",
        "An import, and people who wait",
        "A table of {table_rows:,} products is checked in a dry run, then applied, while {customers} customers order."
        " The phases take turns in {rounds} rounds: [`bench/imports.py`](../bench/imports.py).",
        {
            "phase": "phase", "rows_per_s": "rows/s", "checkout_p50_ms": "checkout, p50, ms",
            "checkout_p99_ms": "p99, ms", "p50_ratio": "p50 ÷ without", "p99_ratio": "p99 ÷ without",
        },
    ),
    Section(
        "batches",
        "Batches",
        "{jobs:,} jobs that do nothing, enqueued in one call, as plain jobs and as a batch's members; one worker of two"
        " children and a dispatcher, which also counts the members. From the call until the last job, or the batch's"
        " callback, has succeeded.",
        {"way": "way", "us_a_job": "µs a job", "ratio": "÷ plain jobs"},
    ),
    Section(
        "growth",
        "Growth",
        "PostgreSQL's CPU in µs: for one job (insert, due, claim, finish), or for one look of a dispatcher that finds"
        " nothing (look, rescue). Pages (8 KB) are what a statement touches, after the last round.",
        plot=series.growth,
        alt="PostgreSQL's CPU for a claim, a finish, a due job and a rescue, over the number of finished jobs",
    ),
    Section(
        "scaling",
        "Scaling",
        "One prefork worker, on one machine with its servers. The cores are shares of the CPU. The last column is the"
        " jobs per second at which PostgreSQL would fill all cores of this machine, if workers ran elsewhere.",
        {
            "processes": "processes", "job_ms": "job, ms", "jobs_per_s": "jobs/s", "worker_cores": "worker, cores",
            "postgresql_cores": "PostgreSQL, cores", "valkey_cores": "Valkey, cores",
            "postgresql_limit_jobs_per_s": "PostgreSQL's limit, jobs/s",
        },
        series.scaling,
        "Jobs per second over the number of worker processes, for jobs of three durations",
    ),
    Section(
        "start",
        "A worker",
        "A worker of two children: seconds until it is ready, and its memory (PSS) after a hundred jobs. The bare"
        " Celery worker loads the same project with the same tasks, and Celery runs them.",
        {"worker": "worker", "ready_s": "ready, s", "memory_mb": "memory, MB"},
    ),
    Section(
        "idle",
        "At rest",
        "The whole shop without customers.",
        {"process": "process", "core_percent": "% of a core", "memory_mb": "memory (PSS), MB"},
    ),
    Section(
        "pages",
        "Staff pages",
        "Each page with {jobs:,} jobs. A *poll* is what an open page requests every few seconds.",
        {
            "page": "page", "ms": "ms", "web_cpu_ms": "web CPU, ms", "database_cpu_ms": "PostgreSQL CPU, ms",
            "statements": "statements", "kb": "kB",
        },
        summary=lambda found: [row for row in found.rows["pages"] if row["page"].endswith("poll")],
    ),
)  # fmt: skip
