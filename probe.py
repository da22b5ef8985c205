"""Do this machine's worker, dispatcher, beat and watcher live? `python probe.py worker`, for containers' health checks.

It reads the sign of life that the process writes into the database every two seconds (a beat and a watcher: five). Who
is killed or frozen, or can't reach the database, is silent, and not well SILENCE seconds later. Without Django, whose
start would be most of the cost of a check that is made again and again.

Exit status 0: it lives. 1: it is silent, or has never spoken. 2: the database can't be asked, so nobody can tell.
"""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psycopg

# Seconds, as for the rescue of a worker's jobs (backroom/ledger/rescue.py) and the alerts (backroom/ops/rules.py). A watcher may have to
# wait for a mail server.
SILENCE = {"worker": 10, "dispatcher": 10, "beat": 10, "watcher": 60}
PATIENCE = 4  # seconds for everything

WORKERS = "SELECT split_part(name, '/', 1), queues, seen_at FROM backroom_heartbeat WHERE role = 'worker'"
PROCESSES = "SELECT '@' || split_part(name, '/', 1), '', seen_at FROM backroom_heartbeat WHERE role = '{role}'"
NEWEST = """
SELECT extract(epoch FROM clock_timestamp() - max(seen_at))::float FROM ({signs}) signs (name, queues, seen_at)
WHERE split_part(name, '@', 2) = %s AND (%s = '' OR %s = ANY (string_to_array(queues, ',')))
"""


def silent_for(role: str, queue: str, host: str) -> float | None:
    """Seconds since the newest sign of life; None if there is none. Raises psycopg.Error, OSError and TimeoutError."""
    signs = WORKERS if role == "worker" else PROCESSES.format(role=role)
    with psycopg.connect(address(), connect_timeout=3) as database:
        (found,) = database.execute(NEWEST.format(signs=signs), (host, queue, queue)).fetchall()
        return found[0]


def address() -> str:
    """The database, from the environment or, in a demo, from the file `env`. Raises OSError and KeyError."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    var = Path(os.environ.get("BACKROOM_VAR") or Path(__file__).parent / "var")
    return dict(line.split("=", 1) for line in (var / "env").read_text().splitlines() if "=" in line)["DATABASE_URL"]


def too_long(*_: Any) -> None:
    raise TimeoutError("no answer in time")


def main() -> None:
    parser = argparse.ArgumentParser(description="Does it live on this machine? 0: yes, 1: no, 2: nobody can tell.")
    parser.add_argument("role", choices=SILENCE)
    parser.add_argument("queue", nargs="?", default="", help="of the worker, where several run on one machine")
    parser.add_argument("--host", default=socket.gethostname(), help="what stands behind the @ in the worker's name")
    asked = parser.parse_args()
    who = f"{' '.join(filter(None, [asked.role, asked.queue]))} on {asked.host}"
    signal.signal(signal.SIGALRM, too_long)  # a database may also hang with the connection made
    signal.alarm(PATIENCE)
    try:
        silent = silent_for(asked.role, asked.queue, asked.host)
    except (psycopg.Error, OSError, KeyError) as error:
        print(f"nobody can tell: the database can't be asked ({type(error).__name__})")
        sys.exit(2)
    if silent is None:
        sys.exit(f"no {who} has given a sign of life")
    print(f"{who}: last seen {silent:.1f} s ago")
    sys.exit(silent > SILENCE[asked.role])


if __name__ == "__main__":
    main()
