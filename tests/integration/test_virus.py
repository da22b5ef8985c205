"""Scans by clamd: what it finds is refused, and what it does not answer about is never published."""

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from backroom.ledger.models import Job
from backroom.testing import advance, run_jobs
from catalog.media import steps, storage, virus
from catalog.media.models import Media
from catalog.models import Product
from stack import ports
from tests.integration import corpus
from tests.integration.buying import attempt, product
from tests.waiting import until

pytestmark = pytest.mark.django_db
INFECTED = corpus.with_text(corpus.EICAR)


@contextmanager
def clamd(answer: Callable[[bytes], bytes], hangs_up_after: int = -1) -> Iterator[str]:
    """The address of a server that takes INSTREAM, as clamd(8) describes it, and answers one scan after the other.

    With `hangs_up_after` it closes the connection after so few chunks.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, answer, hangs_up_after), daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)  # accept() ends
        thread.join()


def _serve(server: socket.socket, answer: Callable[[bytes], bytes], most: int) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as stream:
            assert stream.read(10) == b"zINSTREAM\0"
            content, chunks = b"", 0
            while chunks != most and (size := struct.unpack("!L", stream.read(4))[0]):
                content, chunks = content + stream.read(size), chunks + 1
            with suppress(OSError):
                connection.sendall(answer(content))
                connection.shutdown(socket.SHUT_WR)
                while stream.read(1 << 16):
                    pass  # or the answer could get lost on its way


def uploaded(content: bytes) -> Media:
    media = Media(product=product())
    media.original = storage.save(media, "original.png", content)
    media.save()
    steps.begin(media)
    return media


def scanned(content: bytes = corpus.PNG) -> tuple[Media, Job]:
    """A picture after one attempt at its scan, and the scan's job."""
    media = uploaded(content)
    run_jobs(raising=False)
    media.refresh_from_db()
    return media, Job.objects.get(key=f"media-scan:{media.pk}")


def test_without_a_scanner_nothing_is_scanned_and_the_job_says_so():
    media, job = scanned(INFECTED)
    assert (media.state, job.result) == ("published", "not scanned: CLAMD_URL is not set")


def test_a_clean_file_is_sent_whole_and_published(settings):
    seen = []
    with clamd(lambda content: seen.append(content) or b"stream: OK\0") as settings.CLAMD_URL:
        media, job = scanned()
    assert (media.state, job.result, seen) == ("published", "no virus", [corpus.PNG])


def test_a_virus_is_refused_by_its_name(settings):
    with clamd(lambda content: b"stream: Win.Test.EICAR_HDB-1 FOUND\0") as settings.CLAMD_URL:
        media, job = scanned()
    assert (media.state, media.reason) == ("refused", "The file has a virus: Win.Test.EICAR_HDB-1.")
    assert job.state == "succeeded"


def test_while_the_scanner_is_away_its_job_waits_and_uses_no_attempt(settings):
    settings.BACKROOM_PARTNER_RATES = {"clamd": 100}
    settings.CLAMD_URL = f"tcp://127.0.0.1:{ports.free(['CLAMD'])['CLAMD']}"
    media = uploaded(INFECTED)
    assert attempt(f"media-inspect:{media.pk}").state == "succeeded"
    job = attempt(f"media-scan:{media.pk}")
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "clamd is not reachable: ConnectionRefusedError" in job.error
    with clamd(lambda content: b"stream: Eicar FOUND\0") as settings.CLAMD_URL:
        advance(timedelta(hours=1))
        run_jobs()
    media.refresh_from_db()
    assert media.state == "refused"


@pytest.mark.parametrize("answer", [b"", b"stream: ", b"nonsense\0", b"x" * 5000])
def test_a_scan_without_a_clear_answer_is_tried_again_and_nothing_is_published(settings, answer):
    with clamd(lambda content: answer) as settings.CLAMD_URL:
        media, job = scanned()
    assert (media.state, job.state, job.attempts) == ("waiting", "waiting", 1)
    assert "clamd answered" in job.error


def test_a_scanner_that_hangs_holds_its_job_for_a_bounded_time(settings, monkeypatch):
    monkeypatch.setattr(virus, "LIMIT", 0.2)
    ends = threading.Event()
    with clamd(lambda content: ends.wait(60) and b"") as settings.CLAMD_URL:
        _, job = scanned()
        ends.set()
    assert "takes no file of this size: TimeoutError" in job.error


def test_a_file_that_is_too_large_for_the_scanner_is_a_dead_letter_that_says_what_to_do(settings):
    large = corpus.file(corpus.Image.effect_noise((1500, 1500), 200), "PNG")  # more than a chunk
    with clamd(lambda content: b"INSTREAM size limit exceeded. ERROR\0", hangs_up_after=1) as settings.CLAMD_URL:
        media, job = scanned(large)
    assert media.state == "waiting"
    assert job.state == "dead"
    assert "raise its StreamMaxLength" in job.error


@pytest.mark.slow
def test_debians_clamd_finds_the_test_virus_in_a_picture(settings, tmp_path):
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin")
    if not program:
        pytest.skip("clamd is not here; .ci/nightly installs it")

    (tmp_path / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{corpus.EICAR.hex()}\n")
    (tmp_path / "clamd.conf").write_text(f"""
        DatabaseDirectory {tmp_path}
        LocalSocket {tmp_path}/clamd.sock
        Foreground yes
    """)
    command = [program, f"--config-file={tmp_path}/clamd.conf"]
    with subprocess.Popen(command) as process:
        try:
            until((tmp_path / "clamd.sock").exists, 60, "clamd")
            settings.CLAMD_URL = f"unix://{tmp_path}/clamd.sock"
            assert scanned(INFECTED)[0].reason == "The file has a virus: Eicar-Test-Signature.UNOFFICIAL."
            Product.objects.all().delete()
            assert scanned()[0].state == "published"
        finally:
            process.terminate()
