"""The text of docs/benchmarks.md, made of what was saved. It names what was not measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench import results
from bench.contenders import LATE_EVENTS, STOCK
from bench.sections import SECTIONS, Section
from bench.targets import TARGETS, Measured, Row, Target

EXTRA = ("burst_timeline",)  # a measurement without a section of its own
SHORT = "This is the short form: smaller numbers of jobs, fewer rounds."
INTRODUCTION = """# Benchmarks

`make bench` writes this document; no figure in it is by hand. All figures are of one machine, with production settings.
Ratios to other queues are medians of interleaved rounds."""


def document(found: Measured, saved: dict[str, dict[str, Any]]) -> str:
    missing = [section.title.lower() for section in SECTIONS if section.name not in found.rows]
    short = [SHORT] if results.quick() else []
    parts = [INTRODUCTION, *short, *([headline(found)] if headline(found) else []), machine(list(saved.values()))]
    if missing:
        parts.append(f"Not measured in this run: {', '.join(missing)}.")
    parts.append(f"## Targets\n\n{targets(found)}")
    for section in SECTIONS:
        if section.name in found.rows:
            parts += [f"## {section.title}", section.text.format_map(saved[section.name]["parameters"])]
            parts += [picture(section, "images")] if section in drawn(found) and not results.quick() else []
            parts += tables(section, found)
    return "\n\n".join(parts) + "\n"


def headline(found: Measured) -> str:
    """The README's sentence, or nothing if it was not measured."""
    speed, late = (found.figure("jobs", "ours_drain_per_s", contender=each) for each in (STOCK, LATE_EVENTS))
    cost = found.figure("jobs", "ours_cpu_us", contender=STOCK)
    if speed is None or cost is None or late is None:
        return ""
    return (
        f"Backroom drains {speed:.2f} x the no-op jobs of Celery with `acks_late` and task events, for {cost:.2f} x its"
        f" CPU time. Against a Celery that publishes its events as late: {late:.2f} x. Two prefork children,"
        " interleaved rounds, one machine."
    )


def machine(saved: list[dict[str, Any]]) -> str:
    """The machine of the latest measurement. The load tells whether the machine was quiet."""
    last = max(saved, key=lambda each: each["measured_at"])["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    days = sorted({each["measured_at"][:10] for each in saved})
    loads = [each["machine"]["load"] for each in saved]
    return (
        f"**The machine**, {days[0]}{f' to {days[-1]}' if len(days) > 1 else ''}: {last['processor']}, {last['cores']}"
        f" cores, {last['memory_gb']} GB, {last['kernel']}; {versions}. Load at the ends of the measurements, their own"
        f" included: {min(loads)} to {max(loads)}."
    )


def targets(found: Measured) -> str:
    lines = ["| what | measured | target | |", "| --- | --: | --: | --- |"]
    return "\n".join([*lines, *(of_target(target, target.measure(found)) for target in TARGETS)])


def of_target(target: Target, figure: float | None) -> str:
    limit = f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}"
    if figure is None:
        return f"| {target.what} | | {limit} | not measured |"
    bound = f": {target.bound}" if target.bound else ""
    verdict = "met" if target.is_met(figure) else f"**not met**{bound}"
    return f"| {target.what} | {figure:,.2f} {target.unit} | {limit} | {verdict} |"


def tables(section: Section, found: Measured) -> list[str]:
    rows = found.rows[section.name]
    whole = table(rows, section.columns or heads(rows))
    if section.summary is None:
        return [whole]
    short = section.summary(found)
    return [
        table(short, {key: head for key, head in section.columns.items() if key in short[0]} or heads(short)),
        f"<details><summary>All figures</summary>\n\n{whole}\n\n</details>",
    ]


def heads(rows: Iterable[Row]) -> dict[str, str]:
    """All columns, named by their keys."""
    return {column: column.replace("_", " ") for row in rows for column in row}


def table(rows: list[Row], columns: Mapping[str, str]) -> str:
    """One row turns into two columns. Columns without any value are left out."""
    if len(rows) == 1:
        return "\n".join(
            ["| | |", "| --- | --: |", *(f"| {columns[key]} | {cell(rows[0].get(key))} |" for key in columns)]
        )
    shown = {key: head for key, head in columns.items() if any(row.get(key) not in (None, "") for row in rows)}
    right = {key for key in shown if not any(isinstance(row.get(key), str) for row in rows)}
    head = "| " + " | ".join(shown.values()) + " |"
    rule = "| " + " | ".join("--:" if key in right else "---" for key in shown) + " |"
    return "\n".join([head, rule, *("| " + " | ".join(cell(row.get(key)) for key in shown) + " |" for row in rows)])


def cell(value: Any) -> str:
    """A number with three digits or more."""
    if value is None:
        return ""
    if isinstance(value, list):
        return " · ".join(cell(each) for each in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def drawn(found: Measured) -> list[Section]:
    return [section for section in SECTIONS if section.plot and section.name in found.rows]


def picture(section: Section, folder: str) -> str:
    name = f"{folder}/bench-{section.name}"
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">'
    return f'<picture>{source}<img alt="{section.alt}" src="{name}.svg"></picture>'
