"""PgBouncer in transaction mode, as its packages configure it for clients that send options."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stack import environment, ports, unprivileged
from tests.waiting import until


def program() -> str:
    """Its path; "" if it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") or ""


def command(folder: Path, server: str, port: int) -> list[str]:
    """The command line. Its clients need no password; `server` says to what it connects, as a connection string."""
    config = environment.private_file(
        folder / "pgbouncer.ini",
        f"""
        [databases]
        * = {server}
        [pgbouncer]
        listen_addr = {ports.HOST}
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        ignore_startup_parameters = options
        """,
    )
    unprivileged.own(config)
    return [*unprivileged.prefix(), program(), "-q", str(config)]


@contextmanager
def running(folder: Path, server: str) -> Iterator[int]:
    """Run one during the block; its port."""
    port = ports.free(["POOLER"])["POOLER"]
    with subprocess.Popen(command(folder, server, port), cwd="/") as process:
        try:
            until(lambda: _listens(port), what="PgBouncer")
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((ports.HOST, port), timeout=1):
        return True
    return False
