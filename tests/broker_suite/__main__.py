"""`python -m tests.broker_suite [BROKER ...]`: the acceptance tests and the rows of the broker, on each broker.

Exit status 1 if a test failed or a row broke a promise. The results of all brokers, in var/brokers, go into
docs/brokers.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stack.supervisor import CHECKOUT
from tests.broker_suite import document
from tests.brokers import MAKERS

# Besides the rows of the broker: a fan-out that it loses, and each message three times.
ROWS = r"^broker \||fan-out \| FLUSHALL|each message twice more"
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def main(names: list[str]) -> int:
    found = {name: on(name) for name in names}
    document.write()
    bad = {name: problems for name, result in found.items() if (problems := broken(result))}
    print(*(f"{name}: {problems}" for name, problems in bad.items()), sep="\n")
    print(f"{len(found)} brokers, {len(bad)} with a failure")
    return 1 if bad else 0


def on(name: str) -> dict[str, Any]:
    """The results on one broker, which are kept."""
    print(f"== {name}", flush=True)
    result = {"tests": of_tests(name), "rows": of_rows(name)}
    document.FOLDER.mkdir(parents=True, exist_ok=True)
    (document.FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1))
    return result


def of_tests(name: str) -> dict[str, int]:
    """How many passed, failed and were skipped."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "--quiet", "tests/acceptance"]
    run = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, "BROKER": name}, stdout=subprocess.PIPE, text=True)
    last = ""
    for line in run.stdout or ():
        print(line, end="", flush=True)
        last = line.strip() or last
    return {what: int(number) for number, what in COUNT.findall(last)}


def of_rows(name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.chaos", f"--rows={ROWS}", "--naive=0", "--clusters=2", f"--json={file}"]
        subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "BROKER": name})
        return json.loads(file.read_text()) if file.exists() else []


def broken(result: dict[str, Any]) -> list[str]:
    tests, rows = result["tests"], result["rows"]
    failed = tests.get("failed", 0) + tests.get("error", 0)
    return [
        *([f"{failed} tests failed"] if failed else []),
        *([] if tests.get("passed") else ["no test passed"]),
        *([] if rows else ["no row ran"]),
        *(f"{row['boundary']}, {row['fault']}: {', '.join(row['broken'])}" for row in rows if row["broken"]),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(MAKERS)))
