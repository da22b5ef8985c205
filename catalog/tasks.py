"""The Celery tasks of the catalog. Each runs one verb.

The steps of a picture are CPU-heavy: their queue has a worker of its own, one body at a time.
"""

from backroom import task
from catalog.media import picture_steps, steps, storage, virus


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
    """Delete files that no row ever named; returns how many."""
    return storage.sweep()
