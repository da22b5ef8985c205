"""`make versions`: the library's tests with the versions that pyproject.toml promises, and the shop on each Python.

A Python has one environment. Before each run it gets what is pinned, and then the run's Django and Celery with the
packages that they bring.
"""

import json
import os
from pathlib import Path

import nox

from tests import versions as matrix

LOCKED = ("--require-hashes", "--requirement=requirements.txt", "--requirement=requirements-dev.txt")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"

# pyenv's stubs are on the PATH, too, and refuse each Python but the one that it has chosen.
os.environ["PATH"] = os.pathsep.join([*map(str, PYENV.glob("*/bin")), os.environ["PATH"]])
nox.options.error_on_missing_interpreters = True
nox.options.envdir = "var/versions"


@nox.session(python=sorted({run.python for run in matrix.RUNS}), reuse_venv=True)
def versions(session: nox.Session) -> None:
    """The given tests, or the shop's smoke, with each Django and Celery."""
    session.env["PIP_NO_COMPILE"] = "1"  # modules are compiled when they are imported: that is faster
    runs = [run for run in matrix.RUNS if run.python == session.python]
    found = [run._asdict() | {"passed": _passes(session, run)} for run in runs]
    Path(f"var/versions/{session.python}.json").write_text(json.dumps(found))
    if not all(row["passed"] for row in found):
        session.error("not all passed")


def _passes(session: nox.Session, run: matrix.Run) -> bool:
    session.install("--only-binary=:all:", *LOCKED)
    session.install(f"Django~={run.django}.0", f"celery[redis]~={run.celery}.0")
    command = ["stack", "smoke"] if run.of == "shop" else ["pytest", "--quiet", "-n", "2", *session.posargs]
    try:
        # With --install-only nox runs nothing and returns None.
        return session.run("python", "-m", *command) is True
    except nox.command.CommandFailed:
        return False
