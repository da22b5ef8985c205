"""Writes docs/crash-matrix.md out of the results, always in the same order and layout."""

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from math import ceil
from typing import Any

Result = dict[str, Any]


def document(results: list[Result], minutes: float) -> str:
    """The whole text."""
    naive = {name(result): result for result in results if result["naive"]}
    rows = sorted((result for result in results if not result["naive"]), key=lambda result: result["place"])
    parts = [INTRODUCTION, machine(minutes), totals(rows, list(naive.values())), recovery(rows), limits(rows)]
    for part, group in groupby(rows, key=lambda row: row["part"].partition(" ")[0]):
        parts.append(f"## {TITLES[part][0]}\n\n{TITLES[part][1]}\n\n{table(list(group), naive)}")
    return "\n\n".join(parts) + "\n"


def name(result: Result) -> tuple[str, str, str]:
    return result["part"], result["boundary"], result["fault"]


def machine(minutes: float) -> str:
    return (
        f"This run: {datetime.now(UTC):%d %B %Y}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Celery {version('celery')}, Django {version('django')}; {minutes:.0f} minutes for all of it."
    )


def totals(rows: list[Result], naive: list[Result]) -> str:
    lines = [
        "| | rows | orders | effects expected | lost | twice | stray |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for title, group in (("with the ledger", rows), ("naive", naive)):
        sums = [sum(row[field] for row in group) for field in ("orders", "expected", "lost", "twice", "stray")]
        lines.append(f"| {title} | {len(group)} | " + " | ".join(f"{value:,}" for value in sums) + " |")
    broken = [row for row in rows if row["broken"]]
    found = [f"- {row['part']}, {row['boundary']}, {row['fault']}: {', '.join(row['broken'])}" for row in broken]
    said = "Broken promises:\n\n" + "\n".join(found) if broken else "Every row with the ledger kept what is promised."
    return "\n".join(["## In sum", "", *lines, "", said])


def recovery(rows: list[Result]) -> str:
    """Seconds to recover, for each promise on its own."""
    lines = ["| promised within | rows | median | 99th percentile | longest |", "| --: | --: | --: | --: | --: |"]
    for within in sorted({row["within"] for row in rows}):
        seconds = sorted(row["seconds"] for row in rows if row["within"] == within and row["seconds"])
        if seconds:
            high = seconds[ceil(0.99 * len(seconds)) - 1]
            middle = statistics.median(seconds)
            lines.append(f"| {within:g} s | {len(seconds)} | {middle:.1f} s | {high:.1f} s | {seconds[-1]:.1f} s |")
    return "\n".join(["## Seconds to recover", "", RECOVERY, "", *lines])


def limits(rows: list[Result]) -> str:
    """The rows in which the written limits let an effect happen twice."""
    allowed = [row for row in rows if row["allowed"]]
    twice = [
        f"- {row['part']}, {row['boundary']}, {row['fault']}: {row['twice']} of {row['orders']} mails"
        for row in allowed
    ]
    return "\n".join(["## Where a mail may come twice", "", LIMITS, "", *twice])


def table(rows: list[Result], naive: dict[tuple[str, str, str], Result]) -> str:
    lines = [
        "| at | fault | orders | effects | lost | twice | seconds | naive: lost, twice |",
        "| --- | --- | --: | --: | --: | --: | --: | --- |",
    ]
    for row in rows:
        partner = row["part"].partition(" ")[2]
        cells = [
            f"{partner} {row['boundary']}" if partner else row["boundary"],
            row["fault"],
            row["orders"],
            f"{row['found']} of {row['expected']}",
            row["lost"] + row["stray"],
            row["twice"],
            f"{row['seconds']:.1f}" if (row["seconds"] or 0) >= 0.05 else "-",
            naively(row, naive.get(name(row))),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    notes = [f"- {row['boundary']}, {row['fault']}: {note}" for row in rows for note in row["notes"]]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def naively(ours: Result, row: Result | None) -> str:
    """What the same fault did without a ledger."""
    if row is None:
        return "not run" if ours["comparable"] else "-"
    if row["failed"]:
        return "could not be brought about"
    found = [f"{row['lost']} lost"] if row["lost"] else []
    found += [f"{row['twice']} twice"] if row["twice"] else []
    found += [f"{row['stray']} stray"] if row["stray"] else []
    still = max(0, row["expected"] - row["found"] - row["lost"])
    found += [f"{still} unfinished"] if still and not row["quiet"] else []
    return f"**{', '.join(found)}** of {row['expected']}" if found else f"0 of {row['expected']}"


INTRODUCTION = """\
# The crash matrix

Written by `make chaos`; regenerate it with that. Each row starts from a whole house of real processes under
supervisord (web, three workers, dispatcher, PostgreSQL, Valkey, the partners), with customers who order through the
API all the while: two who send a request again until it is answered, with one Idempotency-Key, and one who does
neither. (A checkout that was cut is finished by its customer's second request, so where web processes are broken most
rows have only customers who send none, and the safety net has to come.) Then one process, server or partner is broken
at one boundary, on purpose: a [failpoint](../lab/faults/failpoints/__init__.py) set from outside stops it there, or a
partner holds it, and the signal comes while it stands still. supervisord restarts what dies. When nothing happens any more,
`manage.py audit` compares the orders with the partners' own records.

- **orders**: taken during the row. **effects**: that the partners did for them, of those expected; with the invoice.
- **lost**: effects that will never happen, orders whose number a customer was given and which are not there, charges
  without an order and effects without one (the audit calls these stray). An order's points and what is learned from
  it are rows of ours: not among the effects, but they are missed like these. **twice**: effects that happened again.
  A partner does what one key names once, however often it is asked, as real ones do, and the naive shop sends the same
  keys: so it is mails, which know no keys, and points, which are rows of ours, that a second run shows twice.
- **child** is the process that stands at the boundary, **main** the one that started it, **all** both and their
  siblings. SIGTERM goes to main, and the process at the boundary goes on half a second later. A frozen process
  (SIGSTOP) is thawed (SIGCONT) after its work was done by others, and then goes on where it stood.
- **naive**: the same fault in [the same shop without a ledger](../lab/faults/naive/__init__.py): `.delay()` on commit,
  Celery's defaults. It is quiet when no message waits and no live worker has one, and an order of which one is still
  in hand after a minute more than ours is promised counts as unfinished; what a dead worker had fetched comes back
  after Celery's visibility timeout of an hour, and counts as lost here. A dash: the boundary exists only
  with a ledger."""

RECOVERY = """\
From the fault until the last job was finished of all orders placed before it; where a server or a partner was away,
from when it was back, and of all orders placed until then. Promised are 15 s for the job of a dead or silent worker (20
here, with a process's start), a minute for a message that the broker lost, a minute and the rescue for an order whose
web process died with the payment open (80), and half a minute for the retries that an outage of some seconds caused. A
dash: nothing was left to do when the fault came, so there was nothing to recover."""

LIMITS = """\
SMTP knows no keys ([the limit](guarantees.md#the-limits-in-full)): a mail is sent again if its worker dies between the
server's 250 and our commit, if it is frozen while it sends, or if the server takes a mail and says that it did not.
These rows aim at just that; everywhere else twice must be 0."""

TITLES = {
    "web": (
        "Web",
        "A checkout: transaction A (order, stock), authorize, transaction B (paid, its jobs), publish, answer.",
    ),
    "worker": ("Workers", "A job: claim, its effect, finish, publishing what follows."),
    "dispatcher": ("Dispatcher", "Retries on their way from the ledger to the broker. It is one process."),
    "beat": ("Beat", "A slot of the schedule, which is one mail to staff. It is one process."),
    "broker": ("Broker", "Valkey, with some messages waiting in it."),
    "database": (
        "Database",
        "PostgreSQL, under all the others. There is no row in which it loses what it committed: \
all promises rest on that it does not, and the audit would count what is gone.",
    ),
    "partner": ("Partners", "Each partner with each fault."),
    "publish": ("Messages", "What a broker may do to them besides losing them."),
    "job": (
        "Jobs",
        "A job that kills its worker three times is a dead letter, and its neighbours are done; then it is replayed.",
    ),
}
