"""`make soak MINUTES=30`: a whole house under checkouts, in which something random breaks every few seconds.

Prints a line a minute; then heals everything, waits until all is quiet, and audits. Exit status 1 if anything was lost,
or happened twice beyond the written limits, or memory or connections grew (from ten minutes on). SEED=… throws the
same dice again; the moments differ, as they are the machine's.
"""

import logging
import os
import random
import sys
import tempfile
from pathlib import Path

import django

from stack import signals
from tests.chaos import cluster as houses


def main(minutes: float, seed: int, folder: Path | None) -> int:
    """Returns the exit status. The house's logs stay in `folder`, if one is given."""
    print(f"soak for {minutes:g} minutes, SEED={seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="backroom-soak-") as spare,
        houses.running(folder or Path(spare)) as house,
    ):
        os.environ.update(house.env, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        logging.getLogger().setLevel(logging.ERROR)
        from tests.chaos.endurance import Endurance  # noqa: PLC0415 - needs Django to be set up

        return Endurance(house, random.Random(seed)).run(minutes)


if __name__ == "__main__":
    signals.install()
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    kept = os.environ.get("FOLDER")
    sys.exit(main(float(os.environ.get("MINUTES") or 30), seed, Path(kept) if kept else None))
