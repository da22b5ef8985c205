"""The command line: `python -m stack demo`, `smoke` or `servers`."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from stack import Problem, demo, ports, servers, signals, smoke
from stack.supervisor import CHECKOUT


def main(arguments: list[str]) -> int:
    """Run one command. Returns the exit status: 1 for a Problem, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("command", choices=["demo", "smoke", "servers"])
    command = parser.parse_args(arguments).command
    var = Path(os.environ.get("BACKROOM_VAR") or CHECKOUT / "var").resolve()
    try:
        if command == "servers":
            return run_servers(var)
        signals.install()
        return demo.run(var, os.environ) if command == "demo" else smoke.run()
    except Problem as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run_servers(var: Path) -> int:
    """Run PostgreSQL and Valkey alone until Ctrl-C, on the ports of the environment or on free ones."""
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
