"""A picture as the shop shows it: upright, in sRGB, without metadata, in three formats and up to three widths.

Made by Pillow. Of an animation it shows the first frame: what moves is a clip.
"""

import base64
import io
from contextlib import suppress
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.Image import Resampling

WIDTHS = 320, 640, 1280  # pixels, at most
TINY = 16  # pixels wide is the placeholder
TURNED = 5, 6, 7, 8  # of EXIF's orientations: width and height change places
SRGB = ImageCms.createProfile("sRGB")


class Format(NamedTuple):
    type: str
    options: dict[str, Any]


# One thread: the worker's other cores are for the shop.
FORMATS = {
    "avif": Format("image/avif", {"quality": 60, "speed": 7, "max_threads": 1}),
    "webp": Format("image/webp", {"quality": 80, "method": 4}),
    "jpeg": Format("image/jpeg", {"quality": 82, "optimize": True, "progressive": True}),
}


def prepared(image: Image.Image) -> Image.Image:
    """RGB or RGBA, and as wide as the widest file at most."""
    image.draft(None, (WIDTHS[-1], WIDTHS[-1]))  # lets the decoder of a JPEG skip what is scaled away
    image = _eight_bits(image)
    if (scale := WIDTHS[-1] / (image.height if turned(image) else image.width)) < 1:
        image = image.resize(_scaled(image, scale), Resampling.LANCZOS, reducing_gap=2.0)
    image = _srgb(ImageOps.exif_transpose(image))
    image.info.clear()  # or the encoders would copy some of it
    return image


def turned(image: Image.Image) -> bool:
    """Whether its width becomes its height."""
    return image.getexif().get(ExifTags.Base.Orientation) in TURNED


def _scaled(image: Image.Image, scale: float) -> tuple[int, int]:
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _eight_bits(image: Image.Image) -> Image.Image:
    """In a mode that can be resized: no palette, and 8 bits a channel."""
    image.load()
    if image.mode.startswith("I") or image.mode == "F":  # of 16 bits; `convert` alone would cut them off at 255
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _srgb(image: Image.Image) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile := image.info.get("icc_profile"):
        with suppress(ImageCms.PyCMSError):  # broken, or of another kind of picture: as if it had none
            image = ImageCms.profileToProfile(image, io.BytesIO(profile), SRGB, outputMode=mode) or image
    extrema: Any = image.getextrema()
    if mode == "RGBA" and extrema[3] == (255, 255):
        mode = "RGB"
    return image.convert(mode)


def widths(image: Image.Image) -> list[int]:
    """Of its files: never wider than the picture is."""
    return sorted({min(width, image.width) for width in WIDTHS})


def encoded(image: Image.Image, format: str, width: int) -> tuple[bytes, int]:
    """A prepared picture as a file of this width, and its height."""
    if width < image.width:
        image = image.resize(_scaled(image, width / image.width), Resampling.LANCZOS)
    if format == "jpeg":
        image = _on_white(image)
    file = io.BytesIO()
    image.save(file, format, **FORMATS[format].options)
    return file.getvalue(), image.height


def _on_white(image: Image.Image) -> Image.Image:
    """JPEG has no transparency."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def placeholder(image: Image.Image) -> str:
    """A miniature of about 100 bytes as a data: URI, for the page until the picture is there. None of a transparent
    picture: the miniature stays below it."""
    if image.mode == "RGBA":
        return ""
    tiny = image.resize(_scaled(image, TINY / image.width), Resampling.LANCZOS)
    file = io.BytesIO()
    tiny.save(file, "webp", quality=40, method=6)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def colour(image: Image.Image) -> str:
    """The one that most of its pixels have, roughly, as #rrggbb."""
    few = _on_white(image.resize((32, 32))).quantize(6)
    counts: Any = few.getcolors()
    _, most = max(counts)
    red, green, blue = (few.getpalette() or [])[3 * most : 3 * most + 3]
    return f"#{red:02x}{green:02x}{blue:02x}"
