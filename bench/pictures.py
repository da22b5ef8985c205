"""Which library makes the pictures: `python -m bench.pictures`, with `pip install 'pyvips[binary]'` to compare.

Each makes the shop's nine files of one original in a process of its own: seconds of CPU, and the most memory that the
process had beyond its start. It is no part of `make bench`.
"""

import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from catalog.media import inspect, pictures

RUNS = 3  # the median counts
QUALITY = {format: options["quality"] for format, (_, options) in pictures.FORMATS.items()}


def originals(folder: Path) -> list[Path]:
    """Soft shapes under the noise of a camera."""
    files = []
    for name, size in (("12 MP.jpg", (4000, 3000)), ("48 MP.jpg", (8000, 6000)), ("12 MP.png", (4000, 3000))):
        noise = Image.effect_noise(size, 30)
        shapes = [Image.radial_gradient("L").rotate(angle).resize(size) for angle in (0, 40, 80)]
        image = Image.merge("RGB", [Image.blend(shape, noise, 0.2) for shape in shapes])
        files.append(folder / name)
        image.save(files[-1], quality=90)
    return files


def with_pillow(file: Path) -> int:
    image = pictures.prepared(inspect.opened(file.read_bytes()))
    return sum(len(pictures.encoded(image, format, width)[0]) for format in QUALITY for width in pictures.widths(image))


def with_pyvips(file: Path) -> int:
    import pyvips  # noqa: PLC0415 - it need not be there

    written = 0
    image = pyvips.Image.thumbnail(str(file), pictures.WIDTHS[-1], height=100_000, output_profile="srgb").copy_memory()
    for width in pictures.WIDTHS:
        small = image.thumbnail_image(width, height=100_000)
        q = QUALITY["avif"]
        written += len(small.heifsave_buffer(Q=q, compression="av1", effort=2, keep="none"))  # aom's speed 7
        written += len(small.webpsave_buffer(Q=QUALITY["webp"], effort=4, keep="none"))
        written += len(small.jpegsave_buffer(Q=QUALITY["jpeg"], optimize_coding=True, interlace=True, keep="none"))
    return written


WAYS = {"pillow": with_pillow, "pyvips": with_pyvips}


def measure(way: str, file: str) -> None:
    """In a process of its own: prints what it took as JSON."""
    before, began = most_memory(), time.process_time()
    written = WAYS[way](Path(file))
    print(json.dumps([time.process_time() - began, (most_memory() - before) / 1024, written / 1024]))


def most_memory() -> int:
    """Kilobytes; getrusage would count those of the parent before the exec, too."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def main() -> None:
    ways = [way for way in WAYS if way == "pillow" or find_spec(way)]
    with tempfile.TemporaryDirectory() as folder:
        for file in originals(Path(folder)):
            for way in ways:
                command = [sys.executable, "-m", "bench.pictures", way, str(file)]
                taken = [json.loads(subprocess.check_output(command)) for _ in range(RUNS)]
                seconds, memory, written = sorted(taken)[RUNS // 2]
                print(
                    f"{file.name:10}{way:8}{seconds:6.2f} s CPU {memory:6.0f} MB {written:7.0f} kB written", flush=True
                )


if __name__ == "__main__":
    measure(*sys.argv[1:]) if sys.argv[1:] else main()
