"""The tabs of the page of jobs: what each reads, and in which order. The waiting ones are four: retrying, scheduled,
behind another job or the members of a batch, and parked, for a place in a lane."""

from dataclasses import dataclass

from backroom.ledger.models import Job, State
from backroom.ledger.sql import PARKED, PARKED_JOBS
from backroom.ops.lanes import parked


@dataclass(frozen=True)
class Tab:
    """`reads` fits an index; `only` filters what was read. `column` gives the order and the time to search by."""

    name: str
    label: str
    reads: str = "true"
    only: str = "true"
    column: str = "id"  # ids sort by the time of their creation
    time: str = "Created"
    newest_first: bool = True
    sorted: bool = True  # by the index; else all rows are read, and sorted then
    index: str = ""  # its columns, if the planner may take another one's for as good
    verbs: tuple[str, ...] = ()  # of the audit log

    @property
    def direction(self) -> str:
        return "DESC" if self.newest_first else "ASC"


ALL = Tab("", "All", verbs=("try", "replay", "cancel"))
TABS = (
    ALL,
    Tab("ready", "Ready", "state = 'ready'", column="published_at", time="Published", newest_first=False,
        verbs=("cancel",)),
    Tab("running", "Running", "state = 'running'", column="started_at", time="Started", newest_first=False,
        sorted=False),
    Tab("retrying", "Retrying", f"state = 'waiting' AND claims > 0 AND run_at < {PARKED}", column="run_at",
        time="Next attempt", newest_first=False, verbs=("try", "cancel")),
    Tab("scheduled", "Scheduled", f"state = 'waiting' AND run_at < {PARKED}", "claims = 0", "run_at", "Due",
        newest_first=False, verbs=("try", "cancel")),
    Tab("parked", "Waiting for a place", f"lane IS NOT NULL AND {PARKED_JOBS}", newest_first=False, sorted=False,
        index="lane, place, id", verbs=("cancel",)),
    Tab("behind", "Behind another job", "state = 'waiting' AND run_at IS NULL", newest_first=False, sorted=False,
        index="run_at", verbs=("cancel",)),
    Tab("dead", "Dead", "state = 'dead'", column="finished_at", time="Died", verbs=("replay", "cancel")),
    Tab("succeeded", "Succeeded", only="state = 'succeeded'"),
    Tab("cancelled", "Cancelled", only="state = 'cancelled'", verbs=("replay",)),
)  # fmt: skip
BY_NAME = {tab.name: tab for tab in TABS}


def kind(job: Job) -> str:
    """The job's state; of a waiting one, for what it waits."""
    if job.state != State.WAITING:
        return job.state
    if parked(job):
        return "parked"
    if job.run_at is None:
        return "batch" if job.after_id == job.id else "behind"
    return "retrying" if job.claims else "scheduled"
