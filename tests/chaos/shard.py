"""One of several clusters that share the rows: `python -m tests.chaos.shard SHOP FOLDER OPTIONS`.

Prints each result as a line of JSON. A shard claims a row by making a file, so each row runs once.
"""

import dataclasses
import json
import logging
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import django

from stack import signals
from tests.chaos import cluster as clusters


def main(shop: str, folder: Path, options: SimpleNamespace) -> None:
    """Start a cluster and run rows on it until none is left."""
    signals.install()
    environ = dict(os.environ)
    with clusters.running(folder / f"{shop}-{uuid4().hex[:8]}", shop, options.ports) as cluster:
        ours = {name: value for name, value in cluster.env.items() if name != "DJANGO_SETTINGS_MODULE"}
        os.environ.update(ours, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        logging.getLogger().setLevel(logging.ERROR)
        done = work(cluster, folder, options)
    if not done:
        # A new process, because django.setup() is for one cluster.
        command = [sys.executable, "-m", "tests.chaos.shard", *sys.argv[1:]]
        os.execve(sys.executable, command, environ)  # noqa: S606


def work(cluster: clusters.Cluster, folder: Path, options: SimpleNamespace) -> bool:
    """False if a row's fault could not be caused. That is no verdict on the shop: the row is released once, and the
    next one needs a new cluster, as this one may be broken."""
    from tests.chaos import rows, run  # noqa: PLC0415 - they need Django's setup

    runner = run.Runner(cluster)
    # Half of the shards begin with the long rows, which mostly wait, and half with the short ones, which use the CPU.
    for row in sorted(rows.ALL, key=lambda row: row.within, reverse=not options.backwards):
        claim = folder / f"{cluster.shop} {row.id.replace('/', ' ')}"
        if not selected(row, cluster.shop, options) or not claimed(claim):
            continue
        result = runner.run(row)
        if result.failed and claimed(claim.with_name(claim.name + ".failed")):
            print(*result.notes, *result.findings, sep="\n", file=sys.stderr)
            claim.unlink()
            return False
        about = {"broken": result.broken, "place": rows.ALL.index(row), "shops": row.shops}
        print(json.dumps(dataclasses.asdict(result) | about), flush=True)
    return True


def selected(row, shop: str, options: SimpleNamespace) -> bool:
    return shop in row.shops and re.search(options.rows, row.id) is not None


def claimed(claim: Path) -> bool:
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), SimpleNamespace(**json.loads(sys.argv[3])))
