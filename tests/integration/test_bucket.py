"""Pictures in a bucket: by the setting STORAGE_URL alone, against a server with S3's interface."""

import subprocess
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest
from django.core.files.storage import storages
from moto.server import ThreadedMotoServer
from storages.backends.s3 import S3File

from backroom.ledger.models import Job
from backroom.testing import run_jobs
from catalog.media import gallery, steps, storage, virus
from catalog.media.models import Media
from shop import settings as of_the_shop
from tests.integration import corpus
from tests.integration.buying import product

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def server(settings, monkeypatch) -> Iterator[ThreadedMotoServer]:
    """With the bucket `pictures`, which is the storage."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
    for name, value in (variables | {"ENDPOINT_URL": f"http://{host}:{port}"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket="pictures")
    monkeypatch.setattr(of_the_shop.env, "STORAGE_URL", "s3://pictures")
    settings.STORAGES = settings.STORAGES | {"media": of_the_shop._storage("media")}
    try:
        yield server
    finally:
        server.stop()


def names() -> set[str]:
    """All files in the bucket, without the folder's name."""
    found = boto3.client("s3").list_objects_v2(Bucket="pictures").get("Contents", [])
    return {each["Key"].removeprefix("media/") for each in found}


def uploaded(content: bytes = corpus.JPEG, kind: str = Media.Kind.PICTURE, name: str = "original.jpg") -> Media:
    media = Media(product=product(), kind=kind)
    media.original = storage.save(media, name, content)
    media.save()
    steps.begin(media)
    return media


def test_a_picture_is_made_in_a_bucket_and_its_orphans_are_deleted(server):
    media = uploaded()
    run_jobs()
    media.refresh_from_db()
    assert media.state == "published"
    orphan = storage.save(media, "640.avif", b"1")
    assert names() == storage.names_of(media) | {orphan}
    assert storage.read(media.files[-1]["name"]).startswith(b"\xff\xd8\xff")
    assert storage.sweep() == 0
    assert storage.sweep(-timedelta(days=1)) == 1
    assert names() == storage.names_of(media)
    steps.remove(media.pk)
    run_jobs()
    assert names() == set()
    with pytest.raises(FileNotFoundError):
        storage.read(media.original)


def test_a_clip_is_made_in_a_bucket(server, tmp_path):
    """The encoder reads and writes local files: each step loads the original, and stores what it made."""
    program = pytest.importorskip("imageio_ffmpeg", reason="clips need imageio-ffmpeg").get_ffmpeg_exe()
    picture, film = "testsrc=size=800x600:rate=10:duration=1", tmp_path / "film.mp4"
    subprocess.run([program, "-f", "lavfi", "-i", picture, film], check=True, capture_output=True)
    media = uploaded(film.read_bytes(), Media.Kind.CLIP, "original.mp4")
    run_jobs()
    media.refresh_from_db()
    assert (media.state, media.reason) == ("published", "")
    assert names() == storage.names_of(media)
    assert sum(name.endswith(".mp4") for name in names()) == 3  # the original, and two sizes


def test_while_the_bucket_is_away_the_job_waits_and_uses_no_attempt(server):
    media = uploaded()
    server.stop()
    server._server.server_close()
    run_jobs(raising=False)
    job = Job.objects.get(key=f"media-inspect:{media.pk}")
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "the storage does not work: EndpointConnectionError" in job.error


def test_a_player_gets_a_part_and_the_bucket_sends_no_more(server, client, monkeypatch):
    name = storage.save(Media(product=product()), "640.mp4", bytes(range(200)))
    assert client.get(gallery.url(name)).getvalue() == bytes(range(200))

    def loaded(file: S3File) -> None:
        raise AssertionError("the whole file was loaded")

    monkeypatch.setattr(S3File, "file", property(loaded))
    part = client.get(gallery.url(name), headers={"Range": "bytes=10-12"})
    assert (part.status_code, part.content, part["Content-Range"]) == (206, b"\n\x0b\x0c", "bytes 10-12/200")
    server.stop()
    server._server.server_close()
    for headers in ({}, {"Range": "bytes=0-"}):
        away = client.get(gallery.url(name), headers=headers)
        assert (away.status_code, away["Retry-After"], away["Cache-Control"]) == (503, "30", "no-store")


def test_a_file_is_loaded_before_it_is_scanned(server, settings, monkeypatch):
    """So a slow bucket takes none of the scanner's time."""
    settings.CLAMD_URL, seen = "tcp://127.0.0.1:9", []
    monkeypatch.setattr(virus, "scan", lambda effect, file: seen.append(file._file) or "")
    virus.check(uploaded())
    assert seen[0] is not None


def test_a_bucket_that_is_not_there_is_an_error_and_no_wait(server, settings):
    media = uploaded()
    options = {"bucket_name": "other", "location": "media", "file_overwrite": False}
    settings.STORAGES = settings.STORAGES | {"media": {"BACKEND": "shop.bucket.Bucket", "OPTIONS": options}}
    assert storages["media"].bucket_name == "other"
    run_jobs(raising=False)
    assert Job.objects.get(key=f"media-inspect:{media.pk}").attempts == 1
