"""The steps of a clip between its upload and its publication: a poster, and two sizes. Its sound is left out."""

import shutil
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages
from PIL import Image

from backroom import report
from catalog.media import encoder, pictures, storage, temporary
from catalog.media.models import Media
from catalog.media.refused import Refused
from catalog.media.steps import Made

LONGEST = 30  # seconds
LEAST = 64  # pixels of a side
FASTEST = 120  # frames a second: each is decoded
SIDES = {"small": 640, "large": 1280}  # pixels, at most
# Seconds: the encoding of a clip takes as long as the clip on an idle core.
SOFT_LIMIT, HARD_LIMIT = 200, 210


def probe(media: Media) -> Made:
    """What it is: size, and length. Raises Refused."""
    with temporary.workplace() as place:
        clip = encoder.look(_on_disk(media.original, place))
    if clip.seconds > LONGEST:
        raise Refused(f"The clip takes {clip.seconds:.0f} seconds. {LONGEST} are allowed.")
    if min(clip.width, clip.height) < LEAST:
        raise Refused(f"The clip is {clip.width} by {clip.height} pixels. Each side needs {LEAST}.")
    if clip.rate > FASTEST:
        raise Refused(f"The clip has {clip.rate:.0f} frames a second. {FASTEST} are allowed.")
    columns = {"width": clip.width, "height": clip.height, "seconds": clip.seconds}
    return Made(columns=columns, note=f"{clip.width} by {clip.height}, {clip.seconds:.1f} s")


def poster(media: Media) -> Made:
    """A frame near its beginning, as a picture."""
    with temporary.workplace() as place:
        encoder.frame(_on_disk(media.original, place), min(1, (media.seconds or 0) / 10), place / "frame.png")
        with Image.open(place / "frame.png", formats=["PNG"]) as frame:
            image = pictures.prepared(frame)
    files = []
    for width in pictures.widths(image):
        content, height = pictures.encoded(image, "jpeg", width)
        name = storage.save(media, f"{width}.jpeg", content)
        files.append({"type": "image/jpeg", "width": width, "height": height, "name": name})
    return Made(files, {"colour": pictures.colour(image), "placeholder": pictures.placeholder(image)})


def render(media: Media, step: str) -> Made:
    """Encode one size, and report how far it is. Raises Refused for a clip that is not whole."""
    seconds, side = media.seconds or LONGEST, SIDES[step]
    if step == "large" and max(media.width or 0, media.height or 0) <= SIDES["small"]:
        return Made(note="the small one is its full size")
    with temporary.workplace() as place:
        made = place / "clip.mp4"
        encoder.encode(
            _on_disk(media.original, place), side, LONGEST, made,
            lambda done: report(int(done * 1000), int(seconds * 1000)),
        )  # fmt: skip
        clip = encoder.look(made)
        with made.open("rb") as content:
            name = storage.save(media, f"{step}.mp4", File(content))
    return Made([{"type": "video/mp4", "width": clip.width, "height": clip.height, "name": name}])


def _on_disk(name: str, place: Path) -> Path:
    """Where ffmpeg reads a stored file: of a bucket's, a copy in this folder."""
    store = storages["media"]
    with storage.opened(name) as file:
        if isinstance(store, FileSystemStorage):
            return Path(store.path(name))
        copy = place / "original"
        with copy.open("wb") as to:
            shutil.copyfileobj(file, to)
        return copy
