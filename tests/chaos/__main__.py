"""`python -m tests.chaos`: the crash matrix; see --help. Exit status 1 if a row broke its promise."""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from stack import ports, servers, signals
from stack.supervisor import CHECKOUT
from tests.chaos.document import document

DOCUMENT = CHECKOUT / "docs" / "crash-matrix.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The crash matrix.")
    parser.add_argument("--houses", type=int, default=6, help="ledgered houses side by side")
    parser.add_argument("--naive", type=int, default=10, metavar="HOUSES", help="naive houses side by side, after them")
    parser.add_argument("--quick", action="store_true", help="only the quick subset")
    parser.add_argument(
        "--rows", default="", metavar="PATTERN", help="only rows whose name matches: part | boundary | fault"
    )
    parser.add_argument("--json", type=Path, help="the results, for programs")
    parser.add_argument("--folder", type=Path, help="where the houses are made, and stay")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(CHECKOUT)}")
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Run the rows, tell of each, write what was asked for."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="backroom-chaos-") as spare:
        results = run(options, options.folder or Path(spare))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        DOCUMENT.write_text(document(results, (time.monotonic() - began) / 60))
    broken = [result for result in results if result["broken"] and not result["naive"]]
    print(f"{len(results)} rows in {time.monotonic() - began:.0f} s, {len(broken)} broken promises")
    return 1 if broken or not results else 0


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All results, in no order. First those with the ledger, which are timed: the naive ones would be in their way."""
    folder.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    for kind, houses in (("ours", options.houses), ("naive", options.naive)):
        side_by_side(kind, houses, options, folder, results)
    return results


def side_by_side(kind: str, houses: int, options: argparse.Namespace, folder: Path, results: list[dict]) -> None:
    """Run the rows of one kind on so many houses, and add what came of them."""
    # Chosen for all at once: houses that choose side by side may choose the same.
    free = iter(ports.free(f"{name} {house}" for house in range(houses) for name in ports.DEFAULTS).values())
    crews = []
    for house in range(houses):
        chosen = {"quick": options.quick, "rows": options.rows, "backwards": bool(house % 2)}
        chosen["ports"] = dict(zip(ports.DEFAULTS, free, strict=False))
        launch = [*servers.DIE_WITH_PARENT, "TERM", sys.executable, "-m", "tests.chaos.shard"]
        command = [*launch, kind, folder, json.dumps(chosen)]
        crews.append(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True))
    listeners = [threading.Thread(target=listen, args=(crew, results)) for crew in crews]
    for listener in listeners:
        listener.start()
    try:
        for listener in listeners:
            listener.join()
    finally:
        for crew in crews:
            crew.terminate()
            crew.wait()


def listen(crew: subprocess.Popen, results: list[dict[str, Any]]) -> None:
    for line in crew.stdout or ():
        result = json.loads(line)
        results.append(result)
        print(told(result), flush=True)


def told(result: dict[str, Any]) -> str:
    """One line about a row, and what was found under it if it broke its promise."""
    took = "" if result["seconds"] is None else f"{result['seconds']:5.1f} s (within {result['within']:g})"
    head = f"{'naive ' if result['naive'] else ''}{result['part']} | {result['boundary']} | {result['fault']}: "
    head += f"{result['orders']} orders, {result['found']}/{result['expected']} effects, {result['lost']} lost, "
    head += f"{result['twice']} twice, {result['stray']} stray  {took}  [{result['took']:.0f} s]"
    if result["naive"] or not result["broken"]:
        return "\n  ".join([head, *result["notes"]])
    return "\n  ".join([head, "BROKEN: " + ", ".join(result["broken"]), *result["notes"], *result["findings"]])


if __name__ == "__main__":
    signals.install()
    sys.exit(main(arguments()))
