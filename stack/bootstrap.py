"""Makes .venv and installs the requirements: `python3 stack/bootstrap.py`, which make runs first.

An old Python must run this file to print that it is too old. So it imports no other module of ours, and uses
nothing newer than Python 3.7.
"""

import importlib.util
import platform
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"


def unsupported(version=sys.version_info, find=importlib.util.find_spec):
    """Why this Python can't make a venv, or None."""
    name = f"{version[0]}.{version[1]}"
    if tuple(version[:2]) < OLDEST:
        return f"Python 3.11 or newer is needed, this is {name}: set PYTHON, e.g. make demo PYTHON=python3.12"
    if not find("venv") or not find("ensurepip"):
        return f"Python's venv module is missing: install it, e.g. apt-get install python{name}-venv"
    return None


def missing_wheel(output):
    """A line about the package that has no wheel here, according to pip's output, or None."""
    found = re.search(r"No matching distribution found for (\S+)", output)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return found and f"{found.group(1)} has no wheel for this machine ({machine}): use docker compose up instead"


def run(*command):
    """The exit status and the output of a command."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def make_venv():
    """Make .venv unless it works already. Returns an error text, or None."""
    if PYTHON.exists() and run(PYTHON, "-m", "pip", "--version")[0] == 0:
        return None
    print(f"Making .venv with Python {platform.python_version()}", flush=True)
    code, output = run(sys.executable, "-m", "venv", "--clear", VENV)
    return f"making .venv failed:\n{output}" if code else None


def install():
    """Install wheels with the hashes that the requirements name, without a compiler. Returns an error text, or None."""
    print(f"Installing {' and '.join(REQUIREMENTS)} into .venv (the first time takes some minutes)", flush=True)
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:")
    code, output = run(*pip, "--require-hashes", *(f"--requirement={CHECKOUT / name}" for name in REQUIREMENTS))
    if code:
        return missing_wheel(output) or f"pip failed:\n{output}"
    (VENV / ".ready").touch()
    return None


if __name__ == "__main__":
    sys.exit(unsupported() or make_venv() or install())
