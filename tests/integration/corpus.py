"""Over 60 files that staff, or a thief of their password, may upload as a picture; each is named for what it is."""

import io
import struct
import zipfile
import zlib

from PIL import Image, ImageCms, PngImagePlugin

SECRET = "SECRET-PLACE"  # in the metadata of some
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" + rb"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"  # harmless; scanners find it
SIZE = 96, 72
DAMAGED, FOREIGN, RENAMED, PIXELS = "damaged", "This is no JPEG", "by another name", "pixels"


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Red grows to the right and blue downwards; the green is in the middle."""
    down = Image.linear_gradient("L").resize(size)
    right = Image.linear_gradient("L").rotate(90).resize(size)
    return Image.merge("RGB", (right, Image.radial_gradient("L").resize(size), down)).convert(mode)


def file(image: Image.Image, format: str, **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, format, **options)
    return written.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!L", len(data)) + kind + data + struct.pack("!L", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colours: int, pixels: bytes, *others: bytes) -> bytes:
    """Any header, whatever the pixels are."""
    header = struct.pack("!LLBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *others, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif(orientation: int = 1, text: str = "") -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    if text:
        made[0x010E] = text
    return made


def with_text(text: str | bytes) -> bytes:
    """A PNG with this text in its metadata."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text)
    return file(picture(), "PNG", pnginfo=info)


def archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        zipped.writestr("evil.class", "1" * 100)
    return written.getvalue()


def larger(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header names another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack("!HH", height, width) + jpeg[at + 4 :]


JPEG, PNG = file(picture(), "JPEG"), file(picture(), "PNG")
GIF, WEBP, AVIF = file(picture(), "GIF"), file(picture(), "WEBP"), file(picture(), "AVIF", speed=10)
CLIP = struct.pack("!L", 24) + b"ftypmp42" + bytes(12) + b"mdat" + bytes(500)
FRAMES = [picture().rotate(angle) for angle in (90, 180)]
PALETTE_FRAMES = [frame.convert("P") for frame in FRAMES]
SRGB, LAB = (ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes() for name in ("sRGB", "LAB"))
GREY_16 = b"".join(b"\0" + struct.pack(f"!{SIZE[0]}H", *range(0, 64 * SIZE[0] * 8, 512)) for _ in range(SIZE[1]))
RGB_16 = b"".join(b"\0" + bytes([200, 1, 100, 1, 50, 1]) * SIZE[0] for _ in range(SIZE[1]))

GOOD = {
    "of a camera.jpg": JPEG,
    "grey.jpg": file(picture("L"), "JPEG"),
    "progressive.jpg": file(picture(), "JPEG", progressive=True),
    "in the colours of print.jpg": file(picture("CMYK"), "JPEG"),
    "of noise.jpg": file(Image.effect_noise((400, 300), 200).convert("RGB"), "JPEG", quality=95),
    "in capitals.JPG": JPEG,
    "by its other suffix.jpeg": JPEG,
    "with a profile.jpg": file(picture(), "JPEG", icc_profile=SRGB),
    "with a profile of another kind.jpg": file(picture(), "JPEG", icc_profile=LAB),
    "with a broken profile.jpg": file(picture(), "JPEG", icc_profile=b"no profile" * 20),
    "turned right.jpg": file(picture(), "JPEG", exif=exif(6)),
    "turned left.jpg": file(picture(), "JPEG", exif=exif(8)),
    "upside down.jpg": file(picture(), "JPEG", exif=exif(3)),
    "mirrored and turned.jpg": file(picture(), "JPEG", exif=exif(5)),
    "with a place and a comment.jpg": file(picture(), "JPEG", exif=exif(1, SECRET), comment=SECRET.encode()),
    "of two pictures.jpg": file(picture(), "MPO", save_all=True, append_images=[picture()]),
    "with a clip behind it.jpg": JPEG + CLIP,
    "panorama.jpg": file(picture(size=(1400, 64)), "JPEG"),
    "of a screen.png": PNG,
    "transparent.png": file(picture("RGBA").rotate(30), "PNG"),
    "opaque, with alpha.png": file(picture("RGBA"), "PNG"),
    "with a palette.png": file(picture("P"), "PNG"),
    "with a transparent palette.png": file(picture("P"), "PNG", transparency=0),
    "grey of 16 bits.png": png(*SIZE, 16, 0, GREY_16),
    "rgb of 16 bits.png": png(*SIZE, 16, 2, RGB_16),
    "black or white.png": file(picture("1"), "PNG"),
    "grey, with alpha.png": file(picture("LA"), "PNG"),
    "animated.png": file(picture(), "PNG", save_all=True, append_images=FRAMES),
    "with a place.png": with_text(SECRET),
    "still.gif": GIF,
    "animated.gif": file(picture(), "GIF", save_all=True, append_images=FRAMES),
    "transparent.gif": file(picture("P"), "GIF", transparency=0),
    "of 100 frames.gif": file(picture("P"), "GIF", save_all=True, append_images=PALETTE_FRAMES * 50),
    "that is a script, too.gif": b"GIF89a/*" + GIF[8:] + b"*/=1;alert(1)",  # what is shown of it is none
    "lossy.webp": WEBP,
    "transparent, lossless.webp": file(picture("RGBA").rotate(30), "WEBP", lossless=True),
    "animated.webp": file(picture(), "WEBP", save_all=True, append_images=FRAMES),
    "small.avif": AVIF,
    "transparent.avif": file(picture("RGBA").rotate(30), "AVIF", speed=10),
}
BROKEN = {
    "empty.jpg": (b"", "empty"),
    "of one byte.png": (b"\x89", FOREIGN),
    "half.jpg": (JPEG[: len(JPEG) // 2], DAMAGED),
    "half.png": (PNG[: len(PNG) // 2], DAMAGED),
    "half.gif": (GIF[: len(GIF) // 2], DAMAGED),
    "half.webp": (WEBP[: len(WEBP) // 2], DAMAGED),
    "half.avif": (AVIF[: len(AVIF) // 2], DAMAGED),
    "nothing but its header.jpg": (JPEG[:40], DAMAGED),
    "with a wrong checksum.png": (PNG[:29] + bytes([PNG[29] ^ 1]) + PNG[30:], DAMAGED),
    "without pixels.png": (png(*SIZE, 8, 2, b""), DAMAGED),
    "of zeros.jpg": (bytes(5000), FOREIGN),
    "of noise behind its first bytes.gif": (b"GIF89a" + bytes(range(256)) * 9, ""),
    "text.png": (b"Dear customer, this is a text.", FOREIGN),
    "bitmap.jpg": (file(picture(), "BMP"), FOREIGN),
    "document.jpg": (b"%PDF-1.7\n" + bytes(99), FOREIGN),
    "drawing.jpg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', FOREIGN),
    "of a phone.jpg": (struct.pack("!L", 24) + b"ftypheic" + bytes(99), FOREIGN),
    "clip.png": (CLIP, FOREIGN),
    "png by another name.jpg": (PNG, RENAMED),
    "jpeg by a program's name.php": (JPEG, RENAMED),
    "jpeg without a suffix": (JPEG, RENAMED),
}
HOSTILE = {
    "bomb of 2.5 gigapixels.png": (png(50_000, 50_000, 8, 2, bytes(99)), PIXELS),
    "bomb of 4 gigapixels.jpg": (larger(JPEG, 65_500, 65_500), PIXELS),
    "bomb of 72 megapixels.jpg": (larger(JPEG, 9_000, 8_000), "72 megapixels"),
    "bomb.gif": (b"GIF89a" + b"\xff" * 4 + GIF[10:], PIXELS),
    "bomb.webp": (b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2, PIXELS),
    "bomb of text.png": (png(*SIZE, 8, 2, bytes(289 * 72), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(4_000_000)))),
                         DAMAGED),
    "of one pixel.png": (file(picture(size=(1, 1)), "PNG"), "Each side"),
    "strip.png": (png(13_000, 64, 1, 0, bytes(64 * 1626)), "Each side"),
    "with an archive behind it.jpg": (JPEG + archive(), "archive"),
    "with an archive behind it.png": (PNG + archive(), "archive"),
    "with a page in it.png": (with_text("<SCRIPT>alert(1)</SCRIPT>"), "web page"),
    "with a program in it.jpg": (file(picture(), "JPEG", comment=b"<?php system($_GET[0]);"), "program"),
    "with a document in it.jpg": (file(picture(), "JPEG", comment=b"%PDF-1.7 trailer"), "PDF"),
    "too large.jpg": (JPEG.ljust(32 * 1024**2 + 1), "larger than 32 MB"),
}  # fmt: skip
REFUSED = BROKEN | HOSTILE  # the content, and a part of the reason
