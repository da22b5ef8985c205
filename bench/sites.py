"""Starts a gunicorn of each way to take an order (bench/ways.py), all on one database and one broker."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import urllib3

from lab.faults.stack import PARTNERS, RunningStack
from stack import cluster, ports, processes
from stack.processes import Process

SHOP, DELAY, INLINE, NO_JOBS, FLOOR = "shop", "on_commit + delay", "inline", "no jobs", "floor"
WAYS = {  # and the name of its process
    SHOP: "web",
    NO_JOBS: "web-none",
    DELAY: "web-delay",
    INLINE: "web-inline",
    FLOOR: "web-floor",
}
RATES = {f"{name.upper()}_RATE": "100000" for name in PARTNERS}  # calls a second: none is held back


@contextlib.contextmanager
def running() -> Iterator[tuple[RunningStack, dict[str, str]]]:
    """A gunicorn of each way, as the shop runs its own, on one database and one broker; and their addresses."""
    numbers = ports.free()
    others = {way: port for way, port in ports.free(WAYS).items() if way != SHOP}
    sites = {way: f"http://{ports.HOST}:{port}" for way, port in {SHOP: numbers["WEB_PORT"], **others}.items()}

    def started(env: Mapping[str, str]) -> list[Process]:
        partners, web = (each for each in processes.shop(env) if each.name in ("partners", "web"))
        return [partners, *(variant(web, way, sites[way]) for way in WAYS)]

    os.environ.update(RATES)
    given = {"DEBUG": "false", "LOG_FORMAT": "json"}
    with (
        tempfile.TemporaryDirectory(prefix="backroom-bench-") as folder,
        contextlib.redirect_stdout(sys.stderr),
        cluster.running(Path(folder), numbers, given, started) as supervisor,
    ):
        with psycopg.connect(supervisor.env["DATABASE_URL"]) as database:
            database.execute("UPDATE catalog_product SET stock = 10000000")
        for site in sites.values():
            wait(site)
        yield RunningStack(supervisor, supervisor.env), sites


def variant(web: Process, way: str, site: str) -> Process:
    """The shop's web process, for another way at another address. It needs no graceful end."""
    changed = {"shop.wsgi": f"bench.ways:make({way!r})"} if way != SHOP else {}
    address = f"--bind={site.removeprefix('http://')}"
    command = [address if word.startswith("--bind=") else changed.get(word, word) for word in web.command]
    return replace(web, name=WAYS[way], command=command, grace=1)


def wait(site: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", f"{site}/healthz", timeout=5, retries=False).status < 300:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{site} does not answer")
        time.sleep(0.1)
