"""A rolling deploy, with the commands of docs/deploying.md."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stack import Problem, environment
from stack.supervisor import Supervisor
from stack.terminal import BOLD, paint, say
from tests.drill.ledger import Ledger
from tests.drill.releases import Releases
from tests.waiting import until

SIDE_BY_SIDE = 4  # seconds for which both releases run, after each step
TIMEOUT = 300  # seconds for a step that takes two on an idle machine
WORKERS = ("worker-one", "worker-two")


class Deploy:
    """Deploys of one shop. `dying` are keys of jobs that no release will run."""

    def __init__(self, supervisor: Supervisor, releases: Releases, ledger: Ledger, dying: Sequence[str]) -> None:
        self.supervisor, self.releases, self.ledger, self.dying = supervisor, releases, ledger, list(dying)

    def roll(self, release: str) -> None:
        """Restart one worker, then the web, then all others. Between the steps both releases run.

        The second worker stays until the jobs are done that only its release has tasks for.
        """
        old = self.releases.current
        say(f"\n{paint(f'Rolling to the release {release}', BOLD)}")
        self.manage("check", folder=self.releases.folder / release)
        self.manage("migrate", "--noinput", folder=self.releases.folder / release)
        self.releases.switch(release)
        say(f"  $ ln -sfn {release} current")
        self.restart_worker(WORKERS[0])
        time.sleep(SIDE_BY_SIDE)
        self.reload_web()
        time.sleep(SIDE_BY_SIDE)
        until(lambda: not self.ledger.only_runnable_by(old, self.dying), TIMEOUT, f"the jobs that only {old} can run")
        self.restart_worker(WORKERS[1])
        for name in ("dispatcher", "beat", "watcher"):
            self.ctl("restart", name)
        time.sleep(SIDE_BY_SIDE)

    def restart_worker(self, name: str) -> None:
        known = len(self.ledger.workers)
        self.ctl("restart", name)
        until(lambda: self.ledger.add_workers(self.releases.current) > known, TIMEOUT, f"{name} is back")

    def reload_web(self) -> None:
        old = self.web_children()
        self.ctl("signal", "HUP", "web")
        until(lambda: not old & self.web_children(), TIMEOUT, "the end of the web's old children")

    def web_children(self) -> set[str]:
        main = self.supervisor.call("getProcessInfo", "web")["pid"]
        return set(Path(f"/proc/{main}/task/{main}/children").read_text().split())

    def ctl(self, *words: str) -> None:
        """Run supervisorctl. Raises Problem."""
        begin = time.monotonic()
        control = [sys.executable, "-m", "supervisor.supervisorctl", "-s", f"unix://{self.supervisor.socket}"]
        done = subprocess.run([*control, *words], capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"supervisorctl {' '.join(words)}: {done.stdout}{done.stderr}")
        say(f"  $ supervisorctl {' '.join(words):<28} {time.monotonic() - begin:4.1f} s")

    def manage(self, *words: str, folder: Path | None = None) -> str:
        """Run manage.py of the current release, or of this folder. Returns its output, and prints it if it fails."""
        code = folder or self.releases.link
        env = environment.of_owner(self.supervisor.env) if words[0] == "migrate" else self.supervisor.env
        done = subprocess.run([sys.executable, "manage.py", *words], cwd=code, env=env, capture_output=True, text=True)
        if done.returncode and words[0] != "audit":
            say("  " + (done.stdout + done.stderr).strip().replace("\n", "\n  "))
        return done.stdout
