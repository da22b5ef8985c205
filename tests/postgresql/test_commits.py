"""What `synchronous_commit` is worth when PostgreSQL crashes. Its machine goes on: the disk has all written bytes."""

import random
import threading
import time
from pathlib import Path
from signal import SIGKILL, SIGQUIT

import psycopg
import pytest

from tests.postgresql import server
from tests.postgresql.conftest import Row
from tests.postgresql.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WRITERS, KILLS = 4, 10
AT_MOST = 0.6  # seconds that PostgreSQL may keep a commit from the disk: three times wal_writer_delay
BUSY = 0.4  # seconds more, for a thread to notice its answer's time


class Writer(threading.Thread):
    """Commits one row after the other, and notes when each was answered, until its connection breaks."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.url, self.mine, self.answered = url, name, dict[int, float]()

    def run(self) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True) as session:
                while True:
                    number = len(self.answered)
                    session.execute("INSERT INTO commits VALUES (%s, %s)", [self.mine, number])
                    self.answered[number] = time.monotonic()
        except psycopg.OperationalError:
            return


def trial(found: Server, setting: str, number: int, how: int) -> tuple[int, list[float]]:
    """Crash it once under load. Returns the commits answered, and the age in seconds of each lost one."""
    url = f"{found.url()}?options=-c%20synchronous_commit%3D{setting}"
    writers = [Writer(url, f"{setting} {how} {number} {each}") for each in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(random.uniform(0.7, 1.2))
    killed = time.monotonic()
    found.kill() if how == SIGKILL else found.end(SIGQUIT)
    for writer in writers:
        writer.join(60)
    found.start()
    with psycopg.connect(found.url()) as session:
        kept = set(session.execute("SELECT writer, number FROM commits").fetchall())
    answered = {(writer.mine, each): at for writer in writers for each, at in writer.answered.items()}
    return len(answered), [killed - at for row, at in answered.items() if row not in kept]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("commits")
    found = server.new(folder, folder)
    found.execute("CREATE TABLE commits (writer text, number int)", database="backroom")
    yield found
    found.end()


@pytest.mark.parametrize(("how", "name"), [(SIGKILL, "SIGKILL"), (SIGQUIT, "immediate stop")], ids=["kill", "stop"])
@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_crash_loses_an_answered_commit_only_without_synchronous_commit(
    database: Server, row: Row, setting: str, how: int, name: str
):
    trials = [trial(database, setting, number, how) for number in range(KILLS)]
    answered, ages = sum(count for count, _ in trials), [age for _, lost in trials for age in lost]
    assert answered > 1000
    assert (len(ages) > 0) == (setting == "off")
    assert max(ages, default=0) < AT_MOST + BUSY
    row(f"{setting}, {name}", KILLS, answered, len(ages), round(max(ages) * 1000) if ages else "-")


def test_no_time_limit_ends_a_commit_that_waits_for_its_standby(database: Server):
    """It would be answered as done, and be on one machine only."""
    database.configure(synchronous_standby_names="*")
    limits = "statement_timeout=200 -c transaction_timeout=400 -c lock_timeout=200"
    with psycopg.connect(database.url(), autocommit=True, options=f"-c {limits}") as session:
        writer = threading.Thread(target=session.execute, args=["INSERT INTO commits VALUES ('waits', 1)"])
        writer.start()
        writer.join(2)
        assert writer.is_alive()
        database.configure(synchronous_standby_names="")
        writer.join(10)
        assert not writer.is_alive()
