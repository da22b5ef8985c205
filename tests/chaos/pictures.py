"""A picture whose worker dies between its steps and in them: it is published whole, once, and no file is left."""

from datetime import timedelta
from signal import SIGKILL

from backroom.ledger import operations
from backroom.ledger.models import Job
from catalog.media import steps, storage
from catalog.media.models import Media
from catalog.models import Product
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.integration import corpus
from tests.waiting import until

WORKER = "worker-media"
TASKS = [f"catalog.media_{step}" for step in steps.STEPS[Media.Kind.PICTURE]]
ODD = 123, 99  # pixels: by its size the decoder that is to die knows its picture


def uploaded(context: Context, size: tuple[int, int] = corpus.SIZE) -> Media:
    """A new picture, as the upload leaves it."""
    context.tasks += TASKS
    media = Media(product=Product.objects.order_by("pk")[0])
    media.original = storage.save(media, "original.jpg", corpus.file(corpus.picture(size=size), "JPEG"))
    media.save()
    steps.begin(media)
    return media


def published(media: Media) -> bool:
    media.refresh_from_db()
    return media.state == Media.State.PUBLISHED


def check_files(media: Media) -> None:
    """Each file that its row names is there, and the sweep finds the others."""
    assert len(media.files) == len({file["type"] for file in media.files}) == 3, media.files
    assert all(storage.read(name) for name in storage.names_of(media))
    assert storage.sweep(-timedelta(days=1)) <= 1, "more files were left than those of one interrupted step"


def in_a_step(point: str, match: str) -> Fault:
    """SIGKILL to the worker at this point of a step; then the picture is made all the same."""

    def fault(context: Context) -> None:
        armed = context.arm(point, WORKER, match)
        media = uploaded(context)
        strike(context, armed.wait(TIMEOUT), SIGKILL, "all")
        until(lambda: published(media), TIMEOUT, "the picture")
        check_files(media)

    return fault


def decoder_dies(context: Context) -> None:
    """A decoder kills its process in each attempt, and is a dead letter; its neighbours are published. Then an operator
    replays it."""

    def arm():
        return context.arm("in a decoder", WORKER, "size={}x{}".format(*ODD), "out of memory")

    armed = arm()
    media, neighbours = uploaded(context, ODD), [uploaded(context) for _ in range(3)]
    context.strike()
    for attempt in range(1, steps.RETRY.attempts + 1):
        armed.wait(TIMEOUT)
        if attempt < steps.RETRY.attempts:
            armed = arm()
    job = Job.objects.filter(key=f"media-inspect:{media.pk}")
    until(job.filter(state="dead", attempts=steps.RETRY.attempts).exists, TIMEOUT, "a dead letter")
    until(lambda: all(map(published, neighbours)), TIMEOUT, "its neighbours")
    assert not published(media)
    operations.replay([str(job.get().id)])
    context.recover()
    until(lambda: published(media), TIMEOUT, "the picture")
    check_files(media)
