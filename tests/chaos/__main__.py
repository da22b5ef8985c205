"""`python -m tests.chaos`: the crash matrix; see --help. Exit status 1 if a row broke a promise."""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from lab.faults import CHECKLIST, LEDGERED, NAIVE
from stack import ports, servers, signals
from stack.supervisor import CHECKOUT
from tests.chaos import result as results_of_rows
from tests.chaos.document import document

DOCUMENT = CHECKOUT / "docs" / "crash-matrix.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The crash matrix.")
    parser.add_argument("--clusters", type=int, default=6, help="clusters with the ledger, in parallel")
    parser.add_argument("--naive", type=int, default=10, metavar="CLUSTERS", help="then naive clusters, in parallel")
    parser.add_argument(
        "--checklist", type=int, metavar="CLUSTERS", help="then clusters by Celery's checklist; default: as --naive"
    )
    parser.add_argument(
        "--rows", default="", metavar="PATTERN", help="only rows whose name matches: part | boundary | fault"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--folder", type=Path, help="make the clusters in this folder, and keep it")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(CHECKOUT)}")
    options = parser.parse_args()
    if options.checklist is None:
        options.checklist = options.naive
    return options


def main(options: argparse.Namespace) -> int:
    """Run the rows, print a line for each, and write the requested files."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="backroom-chaos-") as spare:
        results = run(options, options.folder or Path(spare))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.write:
        DOCUMENT.write_text(document(results, (time.monotonic() - began) / 60))
    broken = [result for result in results if result["broken"] and result["shop"] == LEDGERED]
    print(f"{len(results)} rows in {time.monotonic() - began:.0f} s, {len(broken)} broken promises")
    return 1 if broken or not results else 0


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All results, unordered. Rows with the ledger run first and alone, because they are timed."""
    folder.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    clusters = {LEDGERED: options.clusters, NAIVE: options.naive, CHECKLIST: options.checklist}
    for shop, count in clusters.items():
        in_parallel(shop, count, options, folder, results)
    return results


def in_parallel(shop: str, clusters: int, options: argparse.Namespace, folder: Path, results: list[dict]) -> None:
    """Run the rows of one shop on this number of clusters, and add their results."""
    # Chosen for all at once: clusters that choose at the same time may choose the same ports.
    free = iter(ports.free(f"{name} {cluster}" for cluster in range(clusters) for name in ports.DEFAULTS).values())
    shards = []
    for cluster in range(clusters):
        chosen = {"rows": options.rows, "backwards": bool(cluster % 2)}
        chosen["ports"] = dict(zip(ports.DEFAULTS, free, strict=False))
        launch = [*servers.DIE_WITH_PARENT, "TERM", sys.executable, "-m", "tests.chaos.shard"]
        command = [*launch, shop, folder, json.dumps(chosen)]
        shards.append(subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True))
    readers = [threading.Thread(target=read, args=(shard, results)) for shard in shards]
    for reader in readers:
        reader.start()
    try:
        for reader in readers:
            reader.join()
    finally:
        for shard in shards:
            shard.terminate()
            shard.wait()


def read(shard: subprocess.Popen, results: list[dict[str, Any]]) -> None:
    for line in shard.stdout or ():
        result = json.loads(line)
        results.append(result)
        print(results_of_rows.line(result), flush=True)


if __name__ == "__main__":
    signals.install()
    sys.exit(main(arguments()))
