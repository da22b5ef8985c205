"""The ids of running processes."""

import subprocess

from backroom.runtime import broker


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def broker_pid() -> int:
    with broker.connection() as connected:
        return int(connected.default_channel.client.info("server")["process_id"])
