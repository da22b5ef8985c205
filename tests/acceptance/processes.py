"""The ids of running processes."""

import subprocess

import redis

from backroom.runtime import broker


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def broker_pid() -> int:
    with redis.Redis.from_url(broker.url()) as server:
        return int(server.info("server")["process_id"])
