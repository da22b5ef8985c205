"""Makes docs/crash-matrix.md out of the results, always in the same order and layout."""

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from math import ceil
from typing import Any

from lab.faults import CHECKLIST, LEDGERED, NAIVE

Result = dict[str, Any]
Others = dict[str, dict[tuple[str, str, str], Result]]  # shop -> row -> result


def document(results: list[Result], minutes: float) -> str:
    """The whole document; `minutes` is the duration of the run."""
    rows = sorted((one for one in results if one["shop"] == LEDGERED), key=lambda one: one["place"])
    others = {shop: {name(one): one for one in results if one["shop"] == shop} for shop in (CHECKLIST, NAIVE)}
    parts = [INTRODUCTION, machine(minutes), totals(rows, others), recovery(rows), limits(rows)]
    for part, group in groupby(rows, key=lambda row: row["part"].partition(" ")[0]):
        parts.append(f"## {TITLES[part][0]}\n\n{TITLES[part][1]}\n\n{table(list(group), others)}")
    return "\n\n".join(parts) + "\n"


def name(result: Result) -> tuple[str, str, str]:
    return result["part"], result["boundary"], result["fault"]


def machine(minutes: float) -> str:
    return (
        f"This run: {datetime.now(UTC):%d %B %Y}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Celery {version('celery')}, Django {version('django')}; {minutes:.0f} minutes in all."
    )


def totals(rows: list[Result], others: Others) -> str:
    lines = [
        "| | rows | orders | effects expected | lost | twice | stray |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    groups = [("with the ledger", rows), *((shop, list(found.values())) for shop, found in others.items())]
    for title, group in groups:
        sums = [sum(row[field] for row in group) for field in ("orders", "expected", "lost", "twice", "stray")]
        lines.append(f"| {title} | {len(group)} | " + " | ".join(f"{value:,}" for value in sums) + " |")
    broken = [row for row in rows if row["broken"]]
    found = [f"- {row['part']}, {row['boundary']}, {row['fault']}: {', '.join(row['broken'])}" for row in broken]
    verdict = "Broken promises:\n\n" + "\n".join(found) if broken else "Every row with the ledger kept all promises."
    return "\n".join(["## Totals", "", *lines, "", verdict])


def recovery(rows: list[Result]) -> str:
    """Seconds to recover, for each promised limit."""
    lines = ["| promised within | rows | median | 99th percentile | longest |", "| --: | --: | --: | --: | --: |"]
    for within in sorted({row["within"] for row in rows}):
        seconds = sorted(row["seconds"] for row in rows if row["within"] == within and row["seconds"])
        if seconds:
            high = seconds[ceil(0.99 * len(seconds)) - 1]
            middle = statistics.median(seconds)
            lines.append(f"| {within:g} s | {len(seconds)} | {middle:.1f} s | {high:.1f} s | {seconds[-1]:.1f} s |")
    return "\n".join(["## Seconds to recover", "", RECOVERY, "", *lines])


def limits(rows: list[Result]) -> str:
    """The rows in which the written limits allow a second effect."""
    allowed = [row for row in rows if row["allowed"]]
    twice = [
        f"- {row['part']}, {row['boundary']}, {row['fault']}: {row['twice']} of {row['orders']} mails"
        for row in allowed
    ]
    return "\n".join(["## Where a mail may be sent twice", "", LIMITS, "", *twice])


def table(rows: list[Result], others: Others) -> str:
    lines = [
        "| at | fault | orders | effects | lost | twice | seconds | checklist | naive |",
        "| --- | --- | --: | --: | --: | --: | --: | --- | --- |",
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
            *(compared(row, shop, found.get(name(row))) for shop, found in others.items()),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    notes = [f"- {row['boundary']}, {row['fault']}: {note}" for row in rows for note in row["notes"]]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def compared(ours: Result, shop: str, row: Result | None) -> str:
    """The result of the same fault in a shop without a ledger."""
    if row is None:
        return "not run" if shop in ours["shops"] else "-"
    if row["failed"]:
        return "could not be caused"
    found = [f"{row['lost']} lost"] if row["lost"] else []
    found += [f"{row['twice']} twice"] if row["twice"] else []
    found += [f"{row['stray']} stray"] if row["stray"] else []
    still = row["expected"] - row["found"] - row["lost"]
    found += [f"{still} unfinished"] if still > 0 else []
    return f"**{', '.join(found)}** of {row['expected']}" if found else f"0 of {row['expected']}"


INTRODUCTION = """\
# The crash matrix

`make chaos` writes this document. Each row starts from a whole cluster of real processes under supervisord: web, three
workers, dispatcher, PostgreSQL, Valkey and the partners. Three customers order through the API all the while. Two retry
a failed request with one Idempotency-Key, and one does not. (A retry finishes an interrupted checkout, so in most rows
of the web no customer retries, and the safety net has to finish it.) A
[failpoint](../lab/faults/failpoints/__init__.py) or a slow partner stops one process at one boundary, and the signal
arrives there. supervisord restarts processes that die. When no work is left, `manage.py audit` compares the orders with
the partners' own records.

- **orders**: placed during the row. **effects**: found at the partners, of those expected, and the invoices.
- **lost**: effects that will never happen, confirmed orders that do not exist, charges without an order, and effects
  without one (the audit calls these stray). Points and recommendations are the shop's own rows: they are no effects,
  and count as lost when they are missing. **twice**: effects that happened again. A partner does the work for one
  idempotency key once, as real ones do, and the naive shop sends the same keys. So a second run shows only in mails,
  which have no keys, and in points.
- **child** is the process at the boundary, **main** its parent, **all** both and their siblings. SIGTERM goes to main,
  and the process at the boundary continues half a second later. A frozen process (SIGSTOP) continues (SIGCONT) after
  others have done its work.
- **naive**: effects lost, twice or unfinished after the same fault in
  [the same shop without a ledger](../lab/faults/naive/__init__.py): `.delay()` on commit and Celery's defaults.
  **checklist**: the same with [the options](../lab/faults/naive/checklist.py) that Celery recommends for work that must
  not get lost. Such a shop is idle when neither the broker nor a live worker has a message. An order that still has one
  a minute after the promised time counts as unfinished. So does one whose message was with a dead worker: it comes back
  after the visibility timeout, which is an hour (naive) or half an hour (checklist). A dash: the boundary exists only
  with a ledger, or, in the column checklist, the options change nothing about the row."""

RECOVERY = """\
They count from the fault until the last job of all earlier orders was done; after an outage of a server or a partner,
from its end. The promises: 15 s for the job of a dead or silent worker (20 here, with a process's start), a minute for
a message that the broker lost, a minute and a rescue for an order whose web process died during the payment (80), and
half a minute for the retries after an outage of some seconds, or behind the locks of a frozen transaction. A dash: no
job was left at the time of the fault."""

LIMITS = """\
SMTP has no idempotency keys ([the limit](guarantees.md#the-limits-in-full)). A mail is sent again if its worker dies
between the server's 250 and the commit, if the worker is frozen while it sends, or if the server accepts a mail and
answers with an error. These rows aim at that instant; in all others twice must be 0."""

TITLES = {
    "web": (
        "Web",
        "A checkout: transaction A (order, stock), authorize, transaction B (paid, its jobs), publish, respond.",
    ),
    "worker": ("Workers", "A job: claim, effect, finish, publish its followers."),
    "dispatcher": ("Dispatcher", "Retries between the ledger and the broker. It is one process."),
    "beat": ("Beat", "A slot of the schedule: one mail to staff. It is one process."),
    "broker": ("Broker", "Valkey, with messages waiting in it."),
    "database": (
        "Database",
        "PostgreSQL. No row makes it lose committed data: all promises rest on it, and the audit would count the loss.",
    ),
    "partner": ("Partners", "Each partner with each fault."),
    "deletion": ("Deletions", "An account, erased order by order, then deleted."),
    "import": ("Imports", "A workbook of 1,500 products: look, dry run, chunks, end, undo."),
    "publish": ("Messages", "Messages that arrive twice, or whose publisher gets an error."),
    "job": (
        "Jobs",
        "A job that kills its worker three times is a dead letter, and the other jobs are done. Then it is replayed.",
    ),
    "batch": ("Batches", "Members, and a callback that runs once after the last of them."),
    "message": (
        "Messages to people",
        "Killed before the worker sends it, while the partner has it, and before the job ends.",
    ),
    "webhook": ("Webhooks", "The warehouse and the payment gateway send each report until the web accepts it."),
    "sync": (
        "Synchronisation",
        "A page of the supplier, written with its cursor, and a batch for the accounting partner.",
    ),
    "lane": ("Lanes", "A place is given to a job, used, and passed on to the next one."),
    "picture": (
        "Pictures",
        "The steps from an upload to published files, outside the ledger: each row's picture is published whole.",
    ),
}
