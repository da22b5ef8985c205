"""How far the pictures and clips of a product are, as their steps' jobs say."""

from collections.abc import Iterable
from typing import NamedTuple

from backroom.ledger.models import Job, State
from backroom.observe.models import Progress
from catalog.media import steps
from catalog.media.models import Media

LABELS = {
    "inspect": "Checking the file", "probe": "Checking the file", "scan": "Scanning for viruses",
    "avif": "Making AVIF", "webp": "Making WebP", "jpeg": "Making JPEG", "poster": "Making the poster",
    "small": "Encoding the small size", "large": "Encoding the full size", "publish": "Publishing",
}  # fmt: skip


class Making(NamedTuple):
    """The step that is next or runs. `share` of all steps, from 0 to 1."""

    label: str
    share: float
    job: Job | None  # None: purged

    @property
    def failed(self) -> bool:
        return self.job is not None and self.job.state == State.DEAD


def making(rows: Iterable[Media]) -> dict[int, Making]:
    """Of those rows that wait for a step, by id."""
    waiting = [media for media in rows if media.state == Media.State.WAITING]
    keys = [key for media in waiting for key in steps.keys(media)]
    jobs = {job.key: job for job in Job.objects.filter(key__in=keys).defer("args", "result", "error")}
    running = [job.id for job in jobs.values() if job.state == State.RUNNING]
    reported = {(row.job_id, row.claim): row.share for row in Progress.objects.filter(job_id__in=running)}

    def at(media: Media) -> Making:
        names = steps.STEPS[Media.Kind(media.kind)]
        number = next(number for number, step in enumerate(names) if step not in media.made)  # `publish` never is
        job = jobs.get(steps.keys(media)[number])
        part = (job and reported.get((job.id, job.claims))) or 0
        return Making(LABELS[names[number]], (number + part) / len(names), job)

    return {media.pk: at(media) for media in waiting}
