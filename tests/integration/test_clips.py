"""Clips, by the real encoder: which are published, which refused, and that no encoder outlives its job."""

import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.files.storage import storages

from backroom.ledger.models import Job
from backroom.observe import cancellation
from backroom.observe.models import Progress
from backroom.runtime.subprocesses import MARK
from backroom.testing import run_jobs
from catalog.media import clips, encoder, gallery, making, steps, storage, temporary
from catalog.media.models import Media
from catalog.media.refused import Refused
from tests.integration.buying import product

pytest.importorskip("imageio_ffmpeg", reason="clips need imageio-ffmpeg")
pytestmark = pytest.mark.django_db
State = Media.State
SOUND = ["-f", "lavfi", "-i", "sine=duration=2"]


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A folder of clips."""
    folder = tmp_path_factory.mktemp("films")

    def film(name: str, size: str, seconds: float, *options: str, rate: int = 10) -> None:
        picture = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}"]
        ffmpeg(*picture, *SOUND, *options, "-metadata", "title=At home", folder / name)

    film("good.mp4", "800x600", 2, "-c:v", "libx264", "-movflags", "+faststart", "-preset", "ultrafast")
    film("small.webm", "320x240", 1, "-c:v", "libvpx", "-deadline", "realtime")
    film("too-long.mp4", "64x64", 40, "-c:v", "libx264", rate=1)
    film("too-fast.mp4", "64x64", 0.1, "-c:v", "libx264", rate=240)
    film("too-small.mp4", "32x32", 1, "-c:v", "libx264")
    ffmpeg("-display_rotation", "90", "-i", folder / "good.mp4", "-c", "copy", folder / "turned.mp4")
    whole = (folder / "good.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "header-only.mp4").write_bytes(whole[:40])
    (folder / "text.mp4").write_text("no clip at all")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "sound.mp4").write_bytes(_sound(folder))
    (folder / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{folder}/good.mp4\n#EXT-X-ENDLIST\n")
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{folder}/good.mp4'\n")
    ffmpeg("-i", folder / "good.mp4", "-frames:v", "1", folder / "picture.png")
    (folder / "picture.png").rename(folder / "picture.mp4")
    return folder


def _sound(folder: Path) -> bytes:
    ffmpeg(*SOUND, folder / "only-sound.mp4")
    return (folder / "only-sound.mp4").read_bytes()


def ffmpeg(*arguments: object) -> None:
    command = [encoder.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def uploaded(film: Path) -> Media:
    media = Media(product=product(), kind=Media.Kind.CLIP)
    media.original = storage.save(media, f"original{film.suffix}", film.read_bytes())
    media.save()
    steps.begin(media)
    return media


def made(film: Path) -> Media:
    media = uploaded(film)
    run_jobs()
    media.refresh_from_db()
    return media


def subprocesses_of(job: Job) -> list[str]:
    """The ids of the job's running subprocesses."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone, or another user's
            if f"{MARK}={job.pk}".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


def test_a_clip_becomes_a_poster_and_two_sizes_without_sound_and_metadata(films):
    media = made(films / "good.mp4")
    assert (media.state, media.width, media.height, media.seconds) == (State.PUBLISHED, 800, 600, 2.0)
    assert [(file["width"], file["height"]) for file in gallery.files(media, "video/mp4")] == [(640, 480), (800, 600)]
    assert [file["width"] for file in gallery.files(media, "image/jpeg")] == [320, 640, 800]
    assert re.fullmatch(r"#[0-9a-f]{6}", media.colour)
    for file in gallery.files(media, "video/mp4"):
        content = storage.read(file["name"])
        assert b"At home" not in content
        assert content.index(b"moov") < content.index(b"mdat")  # it can be played before it is loaded
        assert b"soun" not in content
    assert storage.read(gallery.files(media, "image/jpeg")[0]["name"])[:3] == b"\xff\xd8\xff"
    reported = Progress.objects.get(job_id=Job.objects.get(key=f"media-large:{media.pk}").pk)  # by the encoder
    assert (reported.total, reported.done) == (2000, pytest.approx(2000, abs=250))
    assert not list(temporary.folder().iterdir())


def test_a_small_clip_has_one_size_and_a_turned_one_is_upright(films):
    small = made(films / "small.webm")
    assert (small.state, [file["width"] for file in gallery.files(small, "video/mp4")]) == (State.PUBLISHED, [320])
    with temporary.workplace() as place:
        turned = encoder.look(films / "turned.mp4")
        encoder.encode(films / "turned.mp4", 64, 30, place / "clip.mp4", lambda done: None)
        assert encoder.look(place / "clip.mp4")[:2] == (48, 64)
    assert turned[:2] == (600, 800)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too-long", "The clip takes 40 seconds. 30 are allowed."), ("too-small", "The clip is 32 by 32 pixels."),
        ("too-fast", "The clip has 240 frames a second. 120 are allowed."),
        ("truncated", "damaged or incomplete"), ("header-only", "can't be read"),
        ("text", "can't be read"), ("empty", "can't be read"), ("sound", "can't be read"), ("picture", "can't be read"),
        ("playlist", "can't be read"), ("concat", "can't be read"),
    ],
)  # fmt: skip
def test_what_is_no_clip_of_ours_is_refused_with_a_sentence_and_no_dead_letter(films, name, words):
    media = made(films / f"{name}.mp4")
    assert (media.state, words in media.reason) == (State.REFUSED, True), media.reason
    assert set(Job.objects.values_list("state", flat=True)) == {"succeeded"}
    assert not storages["media"].listdir(str(media.product_id))[1]  # its files are gone
    assert not list(temporary.folder().iterdir())


def test_without_the_encoder_a_clip_is_refused_with_a_sentence(films, monkeypatch):
    monkeypatch.setattr(encoder, "get_ffmpeg_exe", None)
    media = made(films / "good.mp4")
    assert (media.state, "can't encode clips" in media.reason) == (State.REFUSED, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("kill -XCPU $$", encoder.SLOW), ("echo Exiting normally, received signal 24. >&2; exit 255", encoder.SLOW),
        ("kill -XFSZ $$", encoder.DAMAGED), ("yes | head -c 300000 >&2; echo partial file >&2", encoder.DAMAGED),
    ],
)  # fmt: skip
def test_a_clip_that_takes_too_long_or_says_too_much_is_refused(monkeypatch, tmp_path, words, reason):
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")  # small, in a container
    monkeypatch.setattr(encoder, "get_ffmpeg_exe", lambda: script(tmp_path, words))
    with pytest.raises(Refused, match=re.escape(reason)):
        encoder.look(tmp_path)


def test_a_cancelled_clip_kills_its_encoder_in_the_middle(films, monkeypatch, tmp_path):
    """The encoder has reported once, and would go on for minutes."""
    media, seen = uploaded(films / "good.mp4"), []
    with suppress(AssertionError):  # as others are due
        run_jobs(limit=3)
    job = Job.objects.get(key=f"media-small:{media.pk}")
    monkeypatch.setattr(encoder, "get_ffmpeg_exe", lambda: script(tmp_path, "echo out_time_us=100000; exec sleep 600"))

    def report(done: int, of: int) -> None:
        seen.extend(subprocesses_of(job))
        steps.cancel(media.pk)
        cancellation.tell([str(job.pk)])  # as its worker's main process does
        real(done, of)

    real = clips.report
    monkeypatch.setattr(clips, "report", report)
    try:
        run_jobs(raising=False)
    finally:
        cancellation.tell([])
    assert len(seen) == 1
    assert not subprocesses_of(job)
    media.refresh_from_db()
    assert media.state == State.CANCELLED
    states = dict(Job.objects.values_list("key", "state"))
    assert [states[key] for key in steps.keys(media)[3:]] == ["cancelled"] * 3
    assert not storages["media"].listdir(str(media.product_id))[1]
    assert not list(temporary.folder().iterdir())


def script(folder: Path, words: str) -> str:
    """A program in place of the encoder."""
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o700)
    return str(program)


def test_a_decoder_that_dies_is_a_dead_letter_and_its_neighbour_is_published(films, monkeypatch, tmp_path):
    real, broken = encoder.get_ffmpeg_exe, script(tmp_path, "env > $0.env; kill -SEGV $$")
    monkeypatch.setenv("SECRET_OF_OURS", "yes")
    monkeypatch.setattr(encoder, "get_ffmpeg_exe", lambda: broken)
    media = uploaded(films / "good.mp4")
    Job.objects.filter(key=f"media-probe:{media.pk}").update(max_attempts=1)
    run_jobs(raising=False)
    assert Job.objects.get(key=f"media-probe:{media.pk}").state == "dead"
    assert making.making([media])[media.pk].failed
    assert "SECRET" not in (tmp_path / "ffmpeg.env").read_text()
    monkeypatch.setattr(encoder, "get_ffmpeg_exe", real)
    neighbour = Media(product=media.product, kind=Media.Kind.CLIP)
    neighbour.original = storage.save(neighbour, "original.webm", (films / "small.webm").read_bytes())
    neighbour.save()
    steps.begin(neighbour)
    run_jobs()
    neighbour.refresh_from_db()
    assert neighbour.state == State.PUBLISHED
