"""`python -m tests.machines`: the shop on eight machines, whose links are cut and whose clocks are wrong.

It needs root, iproute2, iptables and libfaketime. Exit status 1 if a row broke a promise.
"""

import argparse
import dataclasses
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import django

from bench import outcome
from stack import Problem, signals
from tests.chaos import result as results_of_rows
from tests.chaos.result import Result
from tests.machines.cluster import Machines, clock_library, running

HEAD = ["fault", "for", "orders", "effects", "lost", "twice", "settled", "all at work"]


def main(options: argparse.Namespace) -> int:
    """Run the rows, print a line for each, and write the document if asked to."""
    clock_library()  # before the first row, not at the first one that needs it
    with tempfile.TemporaryDirectory(prefix="backroom-machines-") as spare:
        folder = options.folder or Path(spare)
        with running(folder) as machines:
            os.environ.update(machines.env, DJANGO_SETTINGS_MODULE="shop.settings")
            django.setup()
            logging.getLogger().setLevel(logging.ERROR)
            results, lines = measure(machines, re.compile(options.rows))
    broken = [result for result in results if result.broken]
    if options.write:
        slowness = f"Links were slow by `{machines.network.slowness}`."
        verdict = f"{len(results)} rows, {len(broken)} broken promises. {slowness}"
        outcome.write("docs/machines.md", "rows", f"{outcome.table(HEAD, lines)}\n\n{verdict}")
    print(f"{len(results)} rows, {len(broken)} broken promises")
    return 1 if broken or not results else 0


def measure(machines: Machines, pattern: re.Pattern[str]) -> tuple[list[Result], list[list[object]]]:
    """The results of the rows whose name matches, and their lines of the table."""
    from orders.models import Repair  # noqa: PLC0415 - they need Django's setup
    from orders.reconciliation.discrepancies import REPAIRABLE  # noqa: PLC0415
    from tests.chaos.run import Runner  # noqa: PLC0415
    from tests.machines.rows import rows  # noqa: PLC0415

    runner, results, lines = Runner(machines), [], []
    for row in rows():
        if not pattern.search(row.id):
            continue
        result = runner.run(row)
        again = getattr(row.inject, "again", None)
        print(results_of_rows.line(dataclasses.asdict(result) | {"broken": result.broken}))
        print(f"  all at work again: {'no' if again is None else f'{again:.1f} s'}", flush=True)
        results.append(result)
        counts = [f"{result.found} of {result.expected}", result.lost + result.stray, result.twice]
        lines.append([row.boundary, row.fault, result.orders, *counts, shown(result.seconds), shown(again)])
    # What the reconciler repaired was lost.
    assert not Repair.objects.filter(act__in=REPAIRABLE).exists(), list(Repair.objects.all())
    return results, lines


def shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description="Several machines in trouble.")
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only rows whose name matches")
    parser.add_argument("--folder", type=Path, help="make the cluster in this folder, and keep it")
    parser.add_argument("--write", action="store_true", help="write the table of docs/machines.md")
    return parser.parse_args()


if __name__ == "__main__":
    signals.install()
    try:
        sys.exit(main(arguments()))
    except Problem as problem:
        sys.exit(str(problem))
