"""How far an import is, how fast, and how long it still takes: counted out of the ledger, which counts no job twice."""

from typing import NamedTuple

from django.db.models import Max
from django.utils import timezone

from backroom.ledger.models import Job
from backroom.runtime.batch import overview
from catalog.imports.models import Import
from catalog.imports.states import CHUNK, State

CALLBACKS = {State.APPLYING: "import-end:{}", State.UNDOING: "import-undone:{}"}


class Progress(NamedTuple):
    """Rows done, of how many. `failed`: jobs that wait for a person. `rate`: rows per second, since the state began."""

    done: int
    of: int
    failed: int
    rate: float

    @property
    def left_s(self) -> float | None:
        """Seconds until the end; None if no row is done yet."""
        return (self.of - self.done) / self.rate if self.rate else None


def progress(found: Import) -> Progress | None:
    """None for a state in which nothing goes on."""
    if found.state == State.READING:
        last = found.rows.aggregate(last=Max("line"))["last"]
        done, of = max(0, (last or 0) - found.options["heading_row"]), found.options["rows"]
        failed = Job.objects.filter(key=f"import-stage:{found.pk}", state="dead").count()
    elif found.state in CALLBACKS:
        job = (
            Job.objects.filter(key=CALLBACKS[State(found.state)].format(found.pk)).values_list("id", flat=True).first()
        )
        batch = next(iter(overview(1, str(job))), None) if job else None
        if batch is None:
            return None
        done, of, failed = batch.succeeded * CHUNK, max(1, batch.total * CHUNK), batch.dead
        of = min(of, found.options["rows"] or of)
    else:
        return None
    seconds = (timezone.now() - found.began_at).total_seconds() if found.began_at else 0
    return Progress(min(done, of), of, failed, min(done, of) / seconds if seconds > 0 else 0.0)
