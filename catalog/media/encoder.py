"""ffmpeg, out of the wheel imageio-ffmpeg: what a clip is, a frame of it, and its files.

A clip may be made to attack its decoder. So ffmpeg opens no other file and no address, knows the usual formats only,
gets no variable of ours, and has limits of memory, time and disk. A worker that is killed alone leaves it running, for
CPU_SECONDS at most; the container's end, or the supervisor's kill of the worker's group, ends both.
"""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from backroom.runtime.subprocesses import environment
from catalog.media import temporary
from catalog.media.refused import Refused

try:
    from imageio_ffmpeg import get_ffmpeg_exe
except ImportError:  # an optional extra
    get_ffmpeg_exe = None

MEMORY = 2 * 1024**3  # bytes
CPU_SECONDS = 120  # a clip of 30 s needs half of it
LARGEST_FILE = 128 * 1024**2  # bytes that it may write
MOST_PIXELS = 4096 * 2304  # of a frame
READS = [
    "-protocol_whitelist", "file", "-format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
    "-codec_whitelist", "h264,hevc,mpeg4,vp8,vp9,libdav1d,av1,prores,aac,mp3float,opus,vorbis",
    "-max_pixels", str(MOST_PIXELS), "-threads", "1",
]  # fmt: skip
FIRST_VIDEO = ["-map", "0:V:0", "-an", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]
# One thread: the worker's other cores are for the shop.
H264 = [
    "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-maxrate", "1500k", "-bufsize", "3000k", "-threads", "1",
    "-fpsmax", "30", "-movflags", "+faststart", "-f", "mp4",
]  # fmt: skip
DURATION = re.compile(rb"Duration: (\d\d+):(\d\d):(\d\d\.\d\d)")
SIZE = re.compile(rb"Stream #\S+ Video: .*?, (\d{1,5})x(\d{1,5})")
RATE = re.compile(rb"Stream #\S+ Video: .*?, ([\d.]+)(k?) fps")
ENCODED = re.compile(rb"out_time_us=(\d+)")
OUT_OF_TIME = b"received signal 24"  # SIGXCPU, after which it writes a clip that is not whole
CUT_OFF = (b"partial file", b"ended prematurely")  # what ffmpeg says of a file that is not whole, and goes on
SAID = 64 * 1024  # bytes of what it says that are read, from the beginning and from the end
UNREADABLE = "The clip can't be read. Export it as MP4, and upload that."
SLOW = "The clip takes too long to encode. Export it smaller, or with fewer frames a second."
DAMAGED = "The file is damaged or incomplete. Export the clip again."


class Clip(NamedTuple):
    """As it is shown: turned, if a telephone says so."""

    width: int
    height: int
    seconds: float
    rate: float  # frames a second; 0 if the file does not say


def look(path: Path) -> Clip:
    """Decode the first frame. Raises Refused."""
    said = _run(path, [], [*FIRST_VIDEO, "-frames:v", "1", "-f", "null", "-"])
    sizes, duration, rate = SIZE.findall(said), DURATION.search(said), RATE.search(said)
    if not sizes or not duration:
        raise Refused(UNREADABLE)
    hours, minutes, seconds = map(float, duration.groups())
    width, height = map(int, sizes[-1])  # of the output
    frames = float(rate[1]) * (1000 if rate[2] else 1) if rate else 0
    return Clip(width, height, hours * 3600 + minutes * 60 + seconds, frames)


def frame(path: Path, at: float, to: Path) -> None:
    """Write the frame at a second as a PNG. Raises Refused."""
    _run(path, ["-ss", f"{at:.2f}"], [*FIRST_VIDEO, "-frames:v", "1", "-f", "image2", "-c:v", "png", f"file:{to}"])


def encode(path: Path, side: int, longest: float, to: Path, done: Callable[[float], None]) -> None:
    """Write it as an MP4 without sound, whose sides are `side` pixels at most. Calls `done` with the seconds that are
    encoded, about twice a second, and ends if that raises. Raises Refused."""
    fit = f"scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease:force_divisible_by=2"
    filters = ["-t", str(longest), "-vf", f"{fit},format=yuv420p"]
    _run(path, [], [*FIRST_VIDEO, *filters, *H264, f"file:{to}"], done)


def _run(
    path: Path, before: list[str], after: list[str], done: Callable[[float], None] = lambda seconds: None
) -> bytes:
    """Returns what it says. It ends in any case: also when `done` raises Cancelled, or at a time limit."""
    if get_ffmpeg_exe is None:
        raise Refused("This shop can't encode clips. An administrator may install imageio-ffmpeg.")
    reads = [*READS, *before, "-i", f"file:{path}"]
    command = ["nice", get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats", "-y", "-progress", "pipe:1", *reads]
    with TemporaryFile(dir=temporary.folder()) as said:
        with subprocess.Popen(
            [*command, *after], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=environment()
        ) as process:
            try:
                _limit(process.pid)
                for line in process.stdout or ():
                    if found := ENCODED.match(line):
                        done(int(found[1]) / 1e6)
                process.wait()
            finally:
                process.kill()
        return _checked(process.returncode, _ends(said))


def _ends(said: IO[bytes]) -> bytes:
    """A clip of broken packets makes it say megabytes."""
    size = said.seek(0, os.SEEK_END)
    said.seek(0)
    begin = said.read(SAID)
    said.seek(max(len(begin), size - SAID))
    return begin + said.read()


def _limit(pid: int) -> None:
    if sys.platform == "linux":
        resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.prlimit(pid, resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))  # SIGXCPU, then SIGKILL
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def _checked(status: int, said: bytes) -> bytes:
    if status == -signal.SIGXCPU or OUT_OF_TIME in said:
        raise Refused(SLOW)
    if status == -signal.SIGXFSZ:
        raise Refused(DAMAGED)
    if status < 0 or b"No space left" in said:  # a crashed decoder, or a full disk
        raise RuntimeError(f"ffmpeg ended with {status}")  # not what it says: that quotes the clip
    if status:
        raise Refused(UNREADABLE)
    if any(words in said for words in CUT_OFF):
        raise Refused(DAMAGED)
    return said
