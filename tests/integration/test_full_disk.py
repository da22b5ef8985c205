"""A disk without room: a real one of 6 MB, mounted for the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from shop import unavailable
from stack.processes import Process
from stack.supervisor import Supervisor
from tests.integration.scraping import TOKEN, Scrape
from tests.integration.staff import reader, text
from tests.waiting import until

# Once the disk is full it writes more than its pipe holds, line by line, and then a sign that it went on.
WRITER = """
import itertools, pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
for line in itertools.count():
    print("x" * 2000, flush=True)
    time.sleep(0.005)
    if line == 100:
        pathlib.Path(sys.argv[2]).touch()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "var"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here: it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves no byte."""
    with suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass
    return disk / "filling"


def test_supervisord_outlives_a_full_disk_restarts_what_dies_and_logs_again_when_there_is_room(disk, tmp_path):
    full, wrote = tmp_path / "full", tmp_path / "wrote"
    (disk / "log").mkdir()
    (disk / "log" / "writer.log").write_bytes(b"\n" * (5 * 1024 * 1024 - 100))  # its next lines rotate it
    (tmp_path / "writer.py").write_text(WRITER)
    command = [sys.executable, str(tmp_path / "writer.py"), str(full), str(wrote)]
    supervisor = Supervisor(disk, [Process("writer", command, stage=1)], os.environ)
    try:
        until(supervisor.answers)
        supervisor.start(["writer"])
        pid = until(lambda: supervisor.call("getProcessInfo", "writer")["pid"])
        filling = fill(disk)
        full.touch()
        until(wrote.exists, what="its lines were read, if not kept")
        os.kill(pid, signal.SIGKILL)
        until(lambda: supervisor.call("getProcessInfo", "writer")["pid"] not in (0, pid), what="another process")
        filling.unlink()
        until(lambda: b"x" in supervisor.log("writer").read_bytes(), what="a line in the log")
    finally:
        supervisor.close()


@pytest.mark.django_db
def test_the_operations_page_says_which_disk_is_full_also_while_the_database_fails(disk, settings):
    settings.BACKROOM_DISKS, settings.METRICS_TOKEN = [str(disk), "/nonexistent"], TOKEN
    client, says = reader(), f"The disk of {disk} is full (0 MB free)."
    assert says not in text(client.get("/ops/"))
    assert Scrape()("disk_full", folder=str(disk)) == 0
    fill(disk)
    assert says in text(client.get("/ops/"))
    assert Scrape()("disk_full", folder=str(disk)) == 1
    failed = unavailable.page(RequestFactory().get("/ops/"), OperationalError("no space"))
    assert b"The disk of <code>var</code> is full" in failed.content
    assert b"is full" not in unavailable.page(RequestFactory().get("/"), OperationalError("no space")).content
