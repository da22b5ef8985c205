"""Is this machine's worker, dispatcher, beat or watcher alive? `python probe.py worker`, for containers' health checks.

It reads the heartbeats that the processes write into the database every two seconds (a watcher: after each round). It
starts no Django, which would be most of the cost of a check that runs every few seconds.

Exit status 0: alive. 1: silent, or never seen, while others are heard. 2: unknown, as the database can't be read, or
takes no process's heartbeat: one that is read-only, or whose disk is full.
"""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psycopg

HERE = Path(__file__).parent
HEARTBEATS = (HERE / "backroom" / "runtime" / "heartbeats.sql").read_text()
# Seconds without a heartbeat; backroom/runtime/heartbeat.py has the same limits, and a test compares them.
SILENT = {"worker": 10, "dispatcher": 10, "beat": 10, "watcher": 60}
HEARD = 10  # seconds since a heartbeat of any process, in which the database took one
TIMEOUT = 4  # seconds for everything


def silent_for(role: str, queue: str, host: str) -> tuple[float | None, bool]:
    """Seconds since the newest heartbeat, None without any; and whether any process is heard.

    Raises psycopg.Error, OSError and TimeoutError.
    """
    with psycopg.connect(address(), connect_timeout=3) as database:
        found = database.execute(HEARTBEATS).fetchall()
    # A worker's name is node@host/id, any other process' host/id.
    ages = [
        age
        for name, its_role, queues, _, _, _, age in found
        if its_role == role and name.partition("/")[0].rpartition("@")[2] == host and (not queue or queue in queues)
    ]
    return min(ages, default=None), any(age <= HEARD for *_, age in found)


def address() -> str:
    """The database, for a role that only reads if there is one. Raises OSError and KeyError.

    From the environment or, in a demo, from the file `env`.
    """
    if url := os.environ.get("READER_DATABASE_URL") or os.environ.get("DATABASE_URL"):
        return url
    var = Path(os.environ.get("BACKROOM_VAR") or HERE / "var")
    found = dict(line.split("=", 1) for line in (var / "env").read_text().splitlines() if "=" in line)
    return found.get("READER_DATABASE_URL") or found["DATABASE_URL"]


def expire(*_: Any) -> None:
    raise TimeoutError("no answer in time")


def main() -> None:
    parser = argparse.ArgumentParser(description="Is it alive on this machine? 0: yes, 1: no, 2: unknown.")
    parser.add_argument("role", choices=SILENT)
    parser.add_argument("queue", nargs="?", default="", help="of the worker, if several run on one machine")
    parser.add_argument("--host", default=socket.gethostname(), help="the part of the worker's name behind the @")
    given = parser.parse_args()
    who = f"{' '.join(filter(None, [given.role, given.queue]))} on {given.host}"
    signal.signal(signal.SIGALRM, expire)  # a connected database can hang, too
    signal.alarm(TIMEOUT)
    try:
        silent, heard = silent_for(given.role, given.queue, given.host)
    except (psycopg.Error, OSError, KeyError) as error:
        print(f"unknown: the database can't be read ({type(error).__name__})")
        sys.exit(2)
    says = f"no heartbeat of {who}" if silent is None else f"{who}: last seen {silent:.1f} s ago"
    if silent is not None and silent <= SILENT[given.role]:
        print(says)
    elif heard:
        sys.exit(says)
    else:
        print(f"unknown: {says}, and none of any process: does the database take writes?")
        sys.exit(2)


if __name__ == "__main__":
    main()
