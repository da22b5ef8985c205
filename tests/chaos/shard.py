"""One of the houses that work through the matrix side by side: `python -m tests.chaos.shard ours|naive FOLDER OPTIONS`.

Prints each result as a line of JSON. Rows are taken by making a file, so each is run once by whoever is free.
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
from tests.chaos import cluster as houses


def main(kind: str, folder: Path, options: SimpleNamespace) -> None:
    """Bring a house up and run rows on it until none is left."""
    signals.install()
    environ = dict(os.environ)
    with houses.running(folder / f"{kind}-{uuid4().hex[:8]}", kind == "naive", options.ports) as house:
        ours = {name: value for name, value in house.env.items() if name != "DJANGO_SETTINGS_MODULE"}
        os.environ.update(ours, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        logging.getLogger().setLevel(logging.ERROR)
        stands = work(house, kind, folder, options)
    if not stands:
        # A process anew: Django is set up once, for one house.
        command = [sys.executable, "-m", "tests.chaos.shard", *sys.argv[1:]]
        os.execve(sys.executable, command, environ)  # noqa: S606


def work(house: houses.House, kind: str, folder: Path, options: SimpleNamespace) -> bool:
    """False where a row could not be brought about: no verdict on the shop, so it is given back, once, and the next is
    for a new house, as this one may be past helping."""
    from tests.chaos import rows, run  # noqa: PLC0415 - they need Django to be set up

    runner = run.Runner(house)
    # Half of the houses begin with the long rows, which mostly wait, and half with the short ones, which mostly work:
    # so neither kind is left to the end, where all would do the same.
    for row in sorted(rows.ALL, key=lambda row: row.within, reverse=not options.backwards):
        claim = folder / f"{kind} {row.id.replace('/', ' ')}"
        if not wanted(row, kind, options) or not taken(claim):
            continue
        result = runner.run(row)
        if result.failed and taken(claim.with_name(claim.name + ".failed")):
            print(*result.notes, *result.findings, sep="\n", file=sys.stderr)
            claim.unlink()
            return False
        about = {"broken": result.broken, "place": rows.ALL.index(row), "comparable": row.naive}
        print(json.dumps(dataclasses.asdict(result) | about), flush=True)
    return True


def wanted(row, kind: str, options: SimpleNamespace) -> bool:
    if kind == "naive" and not row.naive:
        return False
    return (row.quick or not options.quick) and re.search(options.rows, row.id) is not None


def taken(claim: Path) -> bool:
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), SimpleNamespace(**json.loads(sys.argv[3])))
