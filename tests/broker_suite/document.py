"""The tables of docs/brokers.md, from the last run on each broker and the last `python -m bench.brokers`."""

import json
from collections import defaultdict
from typing import Any

from bench import outcome, results
from stack.supervisor import CHECKOUT
from tests.brokers import CANNOT, MAKERS

DOCUMENT = "docs/brokers.md"
FOLDER = CHECKOUT / "var" / "brokers"
TITLES = {"valkey": "Valkey", "redis": "Redis", "sentinel": "Sentinel", "rabbitmq": "RabbitMQ", "sqs": "SQS (moto)"}
BENCH = {
    "enqueue/s": "enqueue_per_s",
    "in one call/s": "enqueue_many_per_s",
    "drain/s": "drain_per_s",
    "of Valkey's": "ratio",
    "p50 ms": "p50_ms_at_50",
    "p99 ms": "p99_ms_at_50",
    "broker's CPU, µs a job": "cpu_us_broker",
}
Results = dict[str, dict[str, Any]]


def write() -> None:
    """Write what was measured so far; a broker that was not run has no row."""
    found = {name: json.loads(file.read_text()) for name in TITLES if (file := FOLDER / f"{name}.json").exists()}
    if found:
        outcome.write(DOCUMENT, "suite", suite(found))
        outcome.write(DOCUMENT, "rows", rows(found))
    outcome.write(DOCUMENT, "skipped", skipped())
    if measured := results.load("brokers"):
        outcome.write(DOCUMENT, "bench", bench(measured["rows"]))


def suite(found: Results) -> str:
    lines = []
    for name, result in found.items():
        tests, its = result["tests"], result["rows"]
        sums = [sum(row[field] for row in its) for field in ("orders", "found", "lost", "twice", "stray")]
        counts = [tests.get(what, 0 if tests else "not run") for what in ("passed", "failed", "skipped")]
        lines.append([TITLES[name], *counts, len(its), *sums])
    head = ["broker", "tests passed", "failed", "skipped", "rows", "orders", "effects", "lost", "twice", "stray"]
    return outcome.table(head, lines)


def rows(found: Results) -> str:
    """Seconds until all jobs were done, for each fault and broker; with what it broke."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for name, result in found.items():
        for row in sorted(result["rows"], key=lambda row: row["place"]):
            seconds = "not done" if row["seconds"] is None else f"{row['seconds']:.1f}"
            cell = " ".join([seconds, *(f"**{each}**" for each in row["broken"])])
            cells[f"{row['boundary']}: {row['fault']}"][name] = cell
    lines = [[fault, *(each.get(name, "-") for name in found)] for fault, each in cells.items()]
    return outcome.table(["fault", *(TITLES[name] for name in found)], lines)


def skipped() -> str:
    """The reasons of CANNOT, each once."""
    brokers: dict[str, list[str]] = defaultdict(list)
    for name in TITLES:
        for reason in dict.fromkeys(CANNOT[name].values()):
            brokers[reason].append(TITLES[name])
    return "\n".join(f"- {', '.join(names)}: {reason}." for reason, names in brokers.items())


def bench(measured: list[dict[str, Any]]) -> str:
    by_name = {row["broker"]: row for row in measured}
    lines = [[TITLES[name], *(of(by_name[name], key) for key in BENCH.values())] for name in MAKERS if name in by_name]
    return outcome.table(["on", *BENCH], lines)


def of(row: dict[str, Any], key: str) -> str:
    if key not in row:
        return "-"
    return f"{row[key]:.2f}" if key == "ratio" else f"{row[key]:,.1f}" if row[key] < 10 else f"{row[key]:,.0f}"
