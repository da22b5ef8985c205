"""The steps of a picture between its upload and its publication."""

from catalog.media import bounds, inspect, pictures, storage
from catalog.media.models import Media
from catalog.media.steps import Made


def check(media: Media) -> Made:
    """Decode the original once, and note what a page needs before the files are made. Raises Refused."""
    content = storage.read(media.original, inspect.MOST_BYTES + 1)
    with bounds.memory():
        whole = inspect.decoded(content, media.original.rpartition(".")[2])
        width, height = whole.size[::-1] if pictures.turned(whole) else whole.size
        image = pictures.prepared(whole)
        about = {"colour": pictures.colour(image), "placeholder": pictures.placeholder(image)}
    return Made(columns={"width": width, "height": height, **about}, note=f"{whole.format}, {width} x {height}")


def render(media: Media, format: str) -> Made:
    """Make the files of one format."""
    content = storage.read(media.original)
    with bounds.memory():
        image = pictures.prepared(inspect.opened(content))
        made = {width: pictures.encoded(image, format, width) for width in pictures.widths(image)}
    files = [
        {
            "type": pictures.FORMATS[format].type,
            "width": width,
            "height": height,
            "name": storage.save(media, f"{width}.{format}", file),
        }
        for width, (file, height) in made.items()
    ]
    return Made(files, note=f"{len(files)} files")
