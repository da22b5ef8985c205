"""The results of a run, in docs/containers.md."""

import json
import os
import re
from typing import Any

from bench import outcome
from tests.containers.engine import RUNNING, container, docker
from tests.containers.events import Events
from tests.containers.images import tags
from tests.containers.run import Result

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
IMAGE = "backroom:local"
FAULTS = ("killed", "crashed", "unplugged", "unit killed")

Usage = dict[str, Any]


def usage(events: Events) -> Usage:
    """The image's size in MB, and of each container its memory in MB and seconds to its first passed check."""
    lines = docker("stats", "--no-stream", "--format={{json .}}").splitlines()
    memory = {row["Name"]: size(row["MemUsage"].split()[0]) for row in map(json.loads, lines)}
    image, base = (float(docker("image", "inspect", "--format={{.Size}}", name)) for name in (IMAGE, tags()["python"]))
    return {
        "added": (image - base) / 1e6,
        "load": os.getloadavg()[2],
        "memory": {name: memory[container(name)] / 1e6 for name in RUNNING},
        "start": {name: events.seconds_to_healthy(container(name)) for name in RUNNING},
    }


def size(text: str) -> float:
    """Bytes."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def write(usage: Usage, results: list[Result]) -> None:
    outcome.write("docs/containers.md", "containers", text(usage, results))


def text(usage: Usage, results: list[Result]) -> str:
    counted = ("orders", "found", "lost", "twice", "mails")
    totals = {name: sum(getattr(one, name) for one in results) for name in counted}
    others = [f"{one.name} {one.seconds:.0f} s" for one in results if one.fault not in FAULTS and one.fault != "none"]
    head = ["container", "healthy after, s", "MB", *(f"{fault}, s" for fault in FAULTS)]
    settled = {(one.fault, one.service): round(one.seconds) for one in results}
    rows = [
        [name, round(usage["start"][name]), round(usage["memory"][name])]
        + [settled.get((fault, name), "") for fault in FAULTS]
        for name in RUNNING
    ]
    return (
        f"{totals['orders']:,} orders in {len(results)} rows had {totals['found']:,} effects: {totals['lost']} lost,"
        f" {totals['twice']} twice, {totals['mails']} mails twice. The image adds {usage['added']:.0f} MB"
        f" to its base. The machine had {os.cpu_count()} cores and a load of {usage['load']:.0f}."
        f" Also: {'; '.join(others)}.\n\n{outcome.table(head, rows)}"
    )
