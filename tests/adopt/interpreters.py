"""Finds another Python on this machine: on the PATH, or among pyenv's versions."""

import shutil
import subprocess
from pathlib import Path

NEWER = ("3.14", "3.13", "3.12")


def newer() -> str | None:
    """The path of a Python from 3.12 on, as Django 6.0 needs it."""
    candidates = [shutil.which(f"python{version}") for version in NEWER] + [_of_pyenv(version) for version in NEWER]
    return next((found for found in candidates if found and _works(found)), None)


def _works(python: str) -> bool:
    """Whether it starts: pyenv puts stubs on the PATH that refuse to."""
    return subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0


def _of_pyenv(version: str) -> str | None:
    if not shutil.which("pyenv"):
        return None
    prefix = subprocess.run(["pyenv", "prefix", version], capture_output=True, text=True)
    python = Path(prefix.stdout.strip()) / "bin" / "python"
    return None if prefix.returncode else str(python)
