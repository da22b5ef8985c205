"""`make smoke`: runs the shop in a temporary folder on free ports, places twenty orders, and audits."""

import subprocess
import sys
import tempfile
from pathlib import Path

from stack import cluster, ports, sample_order
from stack.supervisor import CHECKOUT
from stack.terminal import say, step

ORDERS = 20


def run() -> int:
    """Returns the exit status of `manage.py audit`: 0 if nothing was lost and nothing done twice."""
    with (
        tempfile.TemporaryDirectory(prefix="backroom-smoke-") as folder,
        cluster.running(Path(folder).resolve(), ports.free(), given={}) as supervisor,
    ):
        site = supervisor.env["SITE_URL"]
        with step(f"{ORDERS} orders", done="placed"):
            placed = [sample_order.place(site) for _ in range(ORDERS)]
        with step("their jobs", done="done"):
            for one in placed:
                for _ in sample_order.follow(site, one):
                    pass
        say()
        audit = [sys.executable, "manage.py", "audit"]
        return subprocess.run(audit, env=supervisor.env, cwd=CHECKOUT).returncode
