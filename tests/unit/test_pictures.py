"""A picture is shown as it was meant: upright, in the colours of a screen, and without what the camera wrote."""

import base64
import io

import pytest
from PIL import Image

from catalog.media import bounds, inspect, pictures
from catalog.media.refused import Refused
from tests.integration import corpus


def shown(name: str, format: str = "jpeg", width: int = 1280) -> Image.Image:
    """A good file of the corpus as the shop shows it."""
    image = pictures.prepared(inspect.opened(corpus.GOOD[name]))
    file, height = pictures.encoded(image, format, min(width, image.width))
    found = Image.open(io.BytesIO(file))
    assert found.height == height
    return found


def near(image: Image.Image, x: float, y: float, colour: tuple[int, ...], most: int = 40) -> bool:
    """Whether the pixel at this part of the picture has about this colour."""
    pixel = image.convert("RGB").getpixel((round(x * (image.width - 1)), round(y * (image.height - 1))))
    return all(abs(one - two) <= most for one, two in zip(pixel, colour, strict=True))


@pytest.mark.parametrize(
    ("name", "x", "y"),  # where the upper left corner of the original comes to be
    [
        ("of a camera.jpg", 0, 0),
        ("turned right.jpg", 1, 0),
        ("turned left.jpg", 0, 1),
        ("upside down.jpg", 1, 1),
        ("mirrored and turned.jpg", 0, 0),
    ],
)
def test_a_picture_stands_upright(name, x, y):
    image = shown(name)
    assert image.size == (corpus.SIZE[::-1] if "turned" in name else corpus.SIZE)
    corner = corpus.picture().getpixel((0, 0))
    assert near(image, x, y, corner)
    assert not near(image, 1 - x, 1 - y, corner)


@pytest.mark.parametrize("format", pictures.FORMATS)
@pytest.mark.parametrize("name", ["of a camera.jpg", "in the colours of print.jpg", "with a palette.png", "small.avif"])
def test_its_colours_are_those_of_a_screen(name, format):
    image, original = shown(name, format), corpus.picture()
    assert image.mode == "RGB"
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)):
        assert near(image, x, y, original.getpixel((round(x * 95), round(y * 71))), most=60), (x, y)


def test_sixteen_bits_become_eight_and_none_is_cut_off():
    grey = shown("grey of 16 bits.png")
    assert near(grey, 0, 0, (0, 0, 0))
    assert near(grey, 1, 1, (190, 190, 190))
    assert near(shown("rgb of 16 bits.png"), 0.5, 0.5, (200, 100, 50))


def test_what_is_transparent_stays_so_and_is_white_where_it_cant():
    name = "transparent.png"
    assert shown(name, "avif").getpixel((0, 0))[3] == 0
    assert shown(name, "webp").getpixel((0, 0))[3] == 0
    assert near(shown(name, "jpeg"), 0, 0, (255, 255, 255))
    assert shown("opaque, with alpha.png", "webp").mode == "RGB"


@pytest.mark.parametrize("format", pictures.FORMATS)
def test_what_the_camera_wrote_is_left_out(format):
    for name in "with a place and a comment.jpg", "with a place.png", "with a profile.jpg":
        image = pictures.prepared(inspect.opened(corpus.GOOD[name]))
        file, _ = pictures.encoded(image, format, image.width)
        found = Image.open(io.BytesIO(file))
        found.load()
        assert corpus.SECRET.encode() not in file
        assert not found.getexif()
        assert not {"icc_profile", "comment", "Comment", "xmp"} & found.info.keys()


def test_its_files_are_as_wide_as_a_page_needs_and_never_wider_than_the_original():
    wide = pictures.prepared(corpus.picture(size=(2600, 1300)))
    assert (wide.size, pictures.widths(wide)) == ((1280, 640), [320, 640, 1280])
    assert pictures.encoded(wide, "webp", 320)[1] == 160
    assert pictures.widths(corpus.picture(size=(800, 600))) == [320, 640, 800]
    assert pictures.widths(corpus.picture(size=(100, 600))) == [100]


def test_a_placeholder_is_tiny_and_the_colour_that_of_most_pixels():
    image = Image.new("RGB", (400, 300), "#336699")
    image.paste("#ffffff", (0, 0, 100, 300))
    assert pictures.colour(image) == "#336699"
    text = pictures.placeholder(image)
    kind, _, data = text.partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 12)
    assert len(text) < 400


@pytest.mark.parametrize("name", ["transparent.png", "transparent, lossless.webp"])
def test_no_placeholder_shines_through_a_transparent_picture(name):
    assert pictures.placeholder(pictures.prepared(inspect.opened(corpus.GOOD[name]))) == ""


def test_a_decoder_that_needs_too_much_memory_is_stopped():
    with pytest.raises(Refused, match="too much memory"), bounds.memory(50 * 1024**2):
        bytearray(200 * 1024**2)
    assert len(bytearray(200 * 1024**2)) > 0  # the limit ended with the block
