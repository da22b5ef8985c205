"""`.ci/containers [WORDS]` runs this on its machine: the rows whose names contain the words, else all.

Exit status 1 if a row breaks a promise. A whole run writes its results into docs/containers.md.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict

import urllib3

from stack import Problem, environment, signals
from stack.supervisor import CHECKOUT
from stack.terminal import say, step
from tests.containers import document, images, units
from tests.containers.engine import ANY, VAR, compose, container, inspect
from tests.containers.events import Events
from tests.containers.rows import ROWS, SCALE
from tests.containers.run import PATIENCE, Result, Runner, all_healthy, manage
from tests.waiting import until

ORDERS = 50  # before the first fault
# Mails to Mailpit are not counted: docs/containers.md. All customers of a row have one address.
MORE = f"EMAIL_URL=smtp://partners:1025\nLIMITS={environment.UNLIMITED}\n"
TARGETS = "http://127.0.0.1:9090/api/v1/targets"


def main(words: list[str]) -> int:
    """Returns the exit status."""
    signals.install()
    with step("base images"):
        images.build()
    write_settings()
    with Events(VAR / "events.jsonl") as events:
        try:
            start()
            usage, results, problems = break_shop(events, " ".join(words))
        finally:
            (VAR / "compose.log").write_text(compose("logs", "--no-color", "--timestamps", fine=ANY))
            compose("--profile=*", "down", "--volumes", fine=ANY)
    (VAR / "results.json").write_text(json.dumps([usage, *map(asdict, results)], indent=1))
    if not words:
        document.write(usage, results)
    for problem in problems:
        say(f"broken: {problem}")
    broken = problems or [result for result in results if result.broken]
    say("A promise was broken." if broken else "Nothing was lost, nothing was done twice.")
    return 1 if broken else 0


def break_shop(events: Events, words: str) -> tuple[document.Usage, list[Result], list[str]]:
    """Returns what it uses, the results of the rows, and promises that are broken besides."""
    runner = Runner(events)
    results = [show(runner.load(ORDERS))]
    usage, problems = document.usage(events), unreachable()
    results += [show(runner.run(row)) for row in ROWS if words in row.name]
    if rows := [row for row in units.ROWS if words in row.name]:
        units.start()
        results += [show(runner.run(row, units.active)) for row in rows]
    return usage, results, problems + unreconciled()


def write_settings() -> None:
    """.env by the very lines of the guide."""
    guide = (CHECKOUT / "docs" / "containers.md").read_text()
    (lines,) = re.findall(r"```sh\n(\(umask.*?\n\)\n)", guide, re.DOTALL)
    subprocess.run(["sh", "-ec", lines], cwd=VAR, check=True)
    with (VAR / ".env").open("a") as file:
        file.write(MORE)


def start() -> None:
    compose("--profile=*", "down", "--volumes")
    with step("docker compose up"):
        compose("up", "--detach", *SCALE)
    with step("all health checks"):
        until(all_healthy, PATIENCE, "all are healthy")


def unreachable() -> list[str]:
    """Broken promises about who reaches whom."""
    until(lambda: "unknown" not in scrapes(), PATIENCE, "a scrape of each part")
    found = [] if scrapes() == ["up", "up"] else [f"Prometheus reads the web: {scrapes()}"]
    for server, port in (("postgres", 5432), ("redis", 6379)):
        (network,) = inspect(container(server))["NetworkSettings"]["Networks"].values()
        connect = f"import socket; socket.create_connection(({network['IPAddress']!r}, {port}), 3); print('reached')"
        if "reached" in compose("exec", "--no-TTY", "partners", "python", "-c", connect, fine=ANY):
            found.append(f"the partners reach {server}")
    return found


def scrapes() -> list[str]:
    """The state of both parts of Prometheus's work."""
    return [each["health"] for each in urllib3.request("GET", TARGETS, timeout=10).json()["data"]["activeTargets"]]


def unreconciled() -> list[str]:
    """What the reconciler would repair or report."""
    outcome = json.loads(manage("reconcile", "--json", "--dry-run"))
    found = outcome["repairs"] + outcome["reports"]
    say(f"  the reconciler looked at {outcome['orders']} orders and found {len(found)} discrepancies")
    return [f"the reconciler: {row['key']}: {row['why']}" for row in found]


def show(result: Result) -> Result:
    say(f"  {result}")
    return result


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Problem as problem:
        sys.exit(str(problem))
