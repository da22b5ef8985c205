"""`make fuzz`: the public fuzzer schemathesis, with all its checks, against a shop of its own; then an audit.

`python -m tests.fuzz SCHEMATHESIS [OPTION ...]`: the fuzzer has a venv of its own, as the shop needs nothing of it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from stack import cluster, ports
from stack.supervisor import CHECKOUT


def run(schemathesis: str, *options: str) -> int:
    """The exit status of the fuzzer if it found something, else that of `manage.py audit`."""
    with (
        tempfile.TemporaryDirectory(prefix="backroom-fuzz-") as folder,
        cluster.running(Path(folder).resolve(), ports.free(), given={}) as supervisor,
    ):
        document = f"{supervisor.env['SITE_URL']}/api/openapi.json"
        found = subprocess.run([schemathesis, "run", document, "--checks", "all", *options], cwd=CHECKOUT).returncode
        audit = [sys.executable, "manage.py", "audit", "--wait", "120"]
        return found or subprocess.run(audit, env=supervisor.env, cwd=CHECKOUT).returncode


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
