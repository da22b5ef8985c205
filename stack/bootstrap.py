"""Makes .venv and installs the requirements: `python3 stack/bootstrap.py`, the first thing that make runs.

An old Python has to run this far to be told so: no other module of ours, nothing newer than Python 3.7.
What is missing on the machine is told in one line.
"""

import importlib.util
import platform
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"


def trouble(version=sys.version_info, find=importlib.util.find_spec):
    """What keeps this Python from making a venv, or None."""
    name = f"{version[0]}.{version[1]}"
    if tuple(version[:2]) < OLDEST:
        return f"Python 3.11 or newer is needed, this is {name}: set PYTHON, e.g. make demo PYTHON=python3.12"
    if not find("venv") or not find("ensurepip"):
        return f"Python's venv module is missing: install it, e.g. apt-get install python{name}-venv"
    return None


def missing_wheel(output):
    """What to tell if pip's output says that a package has no wheel here, else None."""
    found = re.search(r"No matching distribution found for (\S+)", output)
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return found and f"{found.group(1)} has no wheel for this machine ({machine}): use docker compose up instead"


def run(*command):
    """The exit code and the output of a command."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def make_venv():
    """Makes .venv anew unless it works. Returns what went wrong, or None."""
    if PYTHON.exists() and run(PYTHON, "-m", "pip", "--version")[0] == 0:
        return None
    print(f"Making .venv with Python {platform.python_version()}", flush=True)
    code, output = run(sys.executable, "-m", "venv", "--clear", VENV)
    return f"making .venv failed:\n{output}" if code else None


def install():
    """Installs requirements.txt, wheels only: nothing is compiled here. Returns what went wrong, or None."""
    print("Installing requirements.txt into .venv (some minutes the first time)", flush=True)
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:")
    code, output = run(*pip, "--requirement", CHECKOUT / "requirements.txt")
    if code:
        return missing_wheel(output) or f"pip failed:\n{output}"
    (VENV / ".ready").touch()
    return None


if __name__ == "__main__":
    sys.exit(trouble() or make_venv() or install())
