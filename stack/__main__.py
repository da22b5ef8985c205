"""`python -m stack servers`: what the Makefile runs."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from stack import ports, servers, unprivileged


def main(arguments: list[str]) -> int:
    """Runs one command; problems that a person can mend are one line, not a traceback."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("command", choices=["servers"])
    parser.parse_args(arguments)
    var = Path(os.environ.get("BACKROOM_VAR") or "var").resolve()
    try:
        return run_servers(var)
    except (ports.PortError, servers.ServerError, unprivileged.NotPossible) as error:
        print(error, file=sys.stderr)
        return 1


def run_servers(var: Path) -> int:
    """PostgreSQL and Valkey alone, until Ctrl-C: on ports named in the environment, else on free ones."""
    given = {name: port for name, port in ports.chosen(os.environ).items() if os.environ.get(name)}
    ports.check_free(given, "python -m stack servers")
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with servers.running(var, given) as env:
        for name, value in env.items():
            print(f"{name}={value}", flush=True)
        done.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
