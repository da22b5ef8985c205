"""`python -m tests.drill`: runs the drill. Exit status 1 if it breaks a promise."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stack import Problem, cluster, ports, processes, signals
from stack.processes import Process
from stack.supervisor import CHECKOUT
from stack.terminal import BOLD, paint, say
from tests.drill.deploy import WORKERS
from tests.drill.drill import Drill
from tests.drill.releases import Releases

SETTINGS = {"WORKER_GRACE": "30", "DEPLOY_WINDOW": "45"}  # seconds; a real deploy has more


def main() -> int:
    """Returns the exit status."""
    signals.install()
    os.environ.update(SETTINGS)
    folder = Path(os.environ.get("BACKROOM_VAR") or CHECKOUT / "var").resolve() / "drill"
    shutil.rmtree(folder, ignore_errors=True)
    releases = Releases(folder / "releases")

    def shop(env: Mapping[str, str]) -> list[Process]:
        return [replace(each, command=command(each, releases.link)) for each in with_two_workers(env)]

    say(f"{paint('Starting the release before the deploy', BOLD)}; its data and logs are in {folder}")
    with cluster.running(folder / "var", ports.free(), SETTINGS, shop, releases.link) as supervisor:
        return Drill(supervisor, releases).run()


def with_two_workers(env: Mapping[str, str]) -> list[Process]:
    """The shop without Flower, and with two workers for all queues, so that both releases can serve each queue."""
    usual = [process for process in processes.shop(env) if process.name != "flower"]
    kept = [process for process in usual if not process.name.startswith("worker-")]
    bulk = next(process for process in usual if process.name == "worker-bulk")
    queues = {"--queues=bulk": f"--queues={','.join(processes.QUEUES)}"}
    for name in WORKERS:
        swap = queues | {"--hostname=bulk@%h": f"--hostname={name.removeprefix('worker-')}@%h"}
        kept.append(replace(bulk, name=name, command=[swap.get(part, part) for part in bulk.command]))
    return kept


def command(process: Process, link: Path) -> list[str]:
    """The web changes into the link's folder at each reload, so that it loads the current release."""
    return [*process.command, f"--chdir={link}"] if process.name == "web" else process.command


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(str(problem))
