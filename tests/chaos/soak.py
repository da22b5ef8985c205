"""`make soak MINUTES=30`: a whole cluster under load, with a random fault every few seconds.

Prints a line a minute. At the end it ends all faults, waits until no work is left, and audits. Exit status 1 if an
effect was lost, or happened twice beyond the written limits, or memory or connections grew (from ten minutes on).
SEED=... repeats the faults, though not their exact moments.
"""

import logging
import os
import random
import sys
import tempfile
from pathlib import Path

import django

from stack import signals
from tests.chaos import cluster as clusters


def main(minutes: float, seed: int, folder: Path | None) -> int:
    """Returns the exit status. The logs stay in `folder`, if one is given."""
    print(f"soak for {minutes:g} minutes, SEED={seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="backroom-soak-") as spare,
        clusters.running(folder or Path(spare)) as cluster,
    ):
        os.environ.update(cluster.env, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        logging.getLogger().setLevel(logging.ERROR)
        from tests.chaos.endurance import Endurance  # noqa: PLC0415 - needs Django's setup

        return Endurance(cluster, random.Random(seed)).run(minutes)


if __name__ == "__main__":
    signals.install()
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    kept = os.environ.get("FOLDER")
    sys.exit(main(float(os.environ.get("MINUTES") or 30), seed, Path(kept) if kept else None))
