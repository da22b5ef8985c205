"""The Celery tasks of the catalog. Each runs one verb.

The steps of a picture are CPU-heavy: their queue has a worker of its own, one body at a time.
"""

from backroom import Retry, task
from catalog import low_stock, supplier
from catalog.imports import tasks as import_tasks  # noqa: F401 - Celery finds those here
from catalog.media import clips, picture_steps, steps, storage, temporary, virus
from catalog.search import tasks as search_tasks  # noqa: F401 - Celery finds those here

PATIENT = Retry(attempts=16, first=2, cap=1800)  # about three hours


@task(name="catalog.media_inspect", queue="media", key="media-inspect:{media}", retry=steps.RETRY)
def media_inspect(media: int) -> str:
    """Check what an uploaded picture really is."""
    return steps.run(media, "inspect", picture_steps.check)


@task(name="catalog.media_scan", queue="media", key="media-scan:{media}", retry=steps.RETRY)
def media_scan(media: int) -> str:
    """Scan an uploaded file for viruses."""
    return steps.run(media, "scan", virus.check)


@task(name="catalog.media_avif", queue="media", key="media-avif:{media}", retry=steps.RETRY)
def media_avif(media: int) -> str:
    """Make the AVIF files of a picture."""
    return steps.run(media, "avif", picture_steps.render, "avif")


@task(name="catalog.media_webp", queue="media", key="media-webp:{media}", retry=steps.RETRY)
def media_webp(media: int) -> str:
    """Make the WebP files of a picture."""
    return steps.run(media, "webp", picture_steps.render, "webp")


@task(name="catalog.media_jpeg", queue="media", key="media-jpeg:{media}", retry=steps.RETRY)
def media_jpeg(media: int) -> str:
    """Make the JPEG files of a picture."""
    return steps.run(media, "jpeg", picture_steps.render, "jpeg")


@task(name="catalog.media_publish", queue="media", key="media-publish:{media}", retry=steps.RETRY)
def media_publish(media: int) -> str:
    """Show all files of a picture or clip at once."""
    return steps.publish(media)


@task(name=steps.DELETE, queue="bulk", retry=steps.RETRY)
def delete_media_files(names: list[str]) -> None:
    """Delete files that no row names any more."""
    storage.delete(names)


@task(name="catalog.sweep_media", queue="bulk")
def sweep_media() -> int:
    """Delete files that no row ever named, and unfinished ones; returns how many."""
    return storage.sweep() + temporary.sweep()


@task(name="catalog.media_probe", queue="media", key="media-probe:{media}", retry=steps.RETRY)
def media_probe(media: int) -> str:
    """Check what an uploaded clip really is."""
    return steps.run(media, "probe", clips.probe)


@task(name="catalog.media_poster", queue="media", key="media-poster:{media}", retry=steps.RETRY)
def media_poster(media: int) -> str:
    """Make the poster of a clip."""
    return steps.run(media, "poster", clips.poster)


@task(
    name="catalog.media_small", queue="media", key="media-small:{media}", retry=steps.RETRY,
    soft_time_limit=clips.SOFT_LIMIT, time_limit=clips.HARD_LIMIT,
)  # fmt: skip
def media_small(media: int) -> str:
    """Encode a clip for telephones."""
    return steps.run(media, "small", clips.render, "small")


@task(
    name="catalog.media_large", queue="media", key="media-large:{media}", retry=steps.RETRY,
    soft_time_limit=clips.SOFT_LIMIT, time_limit=clips.HARD_LIMIT,
)  # fmt: skip
def media_large(media: int) -> str:
    """Encode a clip in full size."""
    return steps.run(media, "large", clips.render, "large")


@task(name="catalog.find_low_stock", queue="bulk")
def find_low_stock() -> None:
    """Begin and end crossings, and mail staff the new ones."""
    if last := low_stock.scan():
        mail_low_stock.enqueue(last)


# In order: two at once would name the same products.
@task(name="catalog.mail_low_stock", key="low-stock:{last}", in_order="low-stock", retry=PATIENT)
def mail_low_stock(last: int) -> None:
    """Mail staff the products that run low."""
    low_stock.send(last)


@task(
    name="catalog.sync_supplier", queue="bulk", unique=("supplier-sync", "while live"),
    retry=Retry(attempts=6, first=5, cap=120),
)  # fmt: skip
def sync_supplier() -> int:
    """Take over the supplier's changes; returns how many came. After the last attempt, the next slot goes on."""
    return supplier.sync()
