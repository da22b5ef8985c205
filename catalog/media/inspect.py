"""What the bytes of an uploaded picture really are: whatever is wrong with them is a sentence for staff.

The first bytes choose the decoder, and the decoder has to read all of the picture: neither the file's suffix nor what
the browser says counts. Visitors never get these bytes, but pictures made anew from them.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from celery.exceptions import SoftTimeLimitExceeded
from PIL import AvifImagePlugin, Image, WebPImagePlugin  # noqa: F401 - by their import Pillow loads no others

from catalog.media.refused import Refused

MOST_BYTES = 32 * 1024 * 1024
MOST_PIXELS = 50_000_000
SIDES = 64, 12_000  # pixels
FORMATS = {  # by Pillow's name: the first bytes, and suffixes
    "JPEG": (re.compile(rb"\xff\xd8\xff"), ("jpg", "jpeg")),
    "PNG": (re.compile(rb"\x89PNG\r\n\x1a\n"), ("png",)),
    "WEBP": (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), ("webp",)),
    "AVIF": (re.compile(rb".{4}ftyp(avif|avis)", re.DOTALL), ("avif",)),
    "GIF": (re.compile(rb"GIF8[79]a"), ("gif",)),
}
# A picture may be another file, too, for a program that looks elsewhere than at its first bytes.
HIDDEN = {
    b"<script": "a web page", b"<html": "a web page", b"<!doctype html": "a web page", b"<?php": "a program",
    b"__halt_compiler": "a program", b"rar!\x1a\x07": "an archive", b"7z\xbc\xaf\x27\x1c": "an archive",
}  # fmt: skip
DAMAGED = "The file is damaged or incomplete. Save the picture again, and upload that."


def decoded(content: bytes, suffix: str) -> Image.Image:
    """The picture, all of it decoded. Raises Refused."""
    kind = _kind(content)
    _check_suffix(kind, suffix)
    _check_hidden(content)
    with _decoding():
        image = opened(content, kind)
        _check_sides(*image.size)
        image.load()
    return image


def opened(content: bytes, kind: str = "") -> Image.Image:
    """The picture, of which Pillow has read the header only, by one of our decoders."""
    return Image.open(io.BytesIO(content), formats=[kind] if kind else list(FORMATS))


def _kind(content: bytes) -> str:
    if not content:
        raise Refused("The file is empty.")
    if len(content) > MOST_BYTES:
        raise Refused(f"The file is larger than {MOST_BYTES // 1024**2} MB. Save the picture smaller.")
    for kind, (begins, _) in FORMATS.items():
        if begins.match(content):
            return kind
    raise Refused("This is no JPEG, PNG, WebP, AVIF or GIF picture. Export it as JPEG, and upload that.")


def _check_suffix(kind: str, suffix: str) -> None:
    suffixes = FORMATS[kind][1]
    if suffix not in suffixes:
        raise Refused(f"This is a {kind} picture by another name. Rename it to end in .{suffixes[0]}.")


def _check_hidden(content: bytes) -> None:
    lower = content.lower()
    also = next((what for mark, what in HIDDEN.items() if mark in lower), "")
    if zipfile.is_zipfile(io.BytesIO(content)):
        also = "an archive"
    if b"%pdf-" in lower[:1024]:  # where a reader of PDF looks for it
        also = "a PDF document"
    if also:
        raise Refused(f"The file is {also}, too. Save the picture again in an image editor.")


def _check_sides(width: int, height: int) -> None:
    least, most = SIDES
    if width * height > MOST_PIXELS:
        raise Refused(f"The picture has {width * height / 1e6:,.0f} megapixels. {MOST_PIXELS / 1e6:.0f} are allowed.")
    if not least <= min(width, height) <= max(width, height) <= most:
        raise Refused(f"The picture is {width} x {height} pixels. Each side needs {least}, and may have {most:,}.")


@contextmanager
def _decoding() -> Iterator[None]:
    """A decoder raises errors of many types for broken bytes."""
    try:
        yield
    except (Refused, MemoryError, SoftTimeLimitExceeded):
        raise
    except Image.DecompressionBombError:
        raise Refused(f"The picture has too many pixels. {MOST_PIXELS / 1e6:.0f} megapixels are allowed.") from None
    except Exception as error:
        raise Refused(DAMAGED) from error
