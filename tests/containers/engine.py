"""Docker and Compose of the machine that .ci/containers starts; MACHINE is the id of its first process."""

import json
import os
import subprocess
from collections.abc import Container
from pathlib import Path
from typing import Any

import yaml

from stack import Problem
from stack.supervisor import CHECKOUT

VAR = CHECKOUT / "var-containers"
HERE = Path(__file__).parent
PROJECT = "backroom"  # the name in docker-compose.yml
SITE = "http://127.0.0.1:8000"
INSIDE = ("nsenter", f"--target={os.environ.get('MACHINE', '')}", "--mount", "--net", "--pid")
ENV = {"PATH": os.environ["PATH"], "HOME": "/root"}  # the settings are those of VAR/.env only
SERVICES: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
ONCE = ("roles", "migrate")  # each ends when it is done
UNTRIED = ("mailpit", "grafana")  # see override.yml
RUNNING = tuple(name for name in SERVICES if name not in (*ONCE, *UNTRIED))
ANY = range(256)  # exit statuses
TIMEOUT = 1800  # seconds for one command; a build is the longest


def inside(*words: str, fine: Container[int] = (0,), **given: str) -> str:
    """Run a command on the machine, with these variables. Returns its output. Raises Problem for a status that is not
    among those that are fine."""
    done = subprocess.run([*INSIDE, *words], capture_output=True, text=True, env=ENV | given, timeout=TIMEOUT)
    if done.returncode not in fine:
        raise Problem(f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def docker(*words: str) -> str:
    return inside("docker", *words)


def compose(*words: str, fine: Container[int] = (0,)) -> str:
    files = ["--file", f"{CHECKOUT}/docker-compose.yml", "--file", f"{HERE}/override.yml"]
    place = ["--project-directory", str(CHECKOUT), "--env-file", f"{VAR}/.env"]
    return inside("docker", "compose", "--progress=plain", *place, *files, *words, fine=fine)


def container(service: str, number: int = 1) -> str:
    return f"{PROJECT}-{service}-{number}"


def containers(service: str) -> list[str]:
    """The names of a service's containers, running or not, without those of `run`."""
    label = f"label=com.docker.compose.service={service}"
    once = "label=com.docker.compose.oneoff=False"
    return docker("ps", "--all", "--filter", label, "--filter", once, "--format={{.Names}}").split()


def inspect(name: str) -> dict[str, Any]:
    return json.loads(docker("container", "inspect", name))[0]


def healthy(name: str) -> bool:
    return inspect(name)["State"].get("Health", {}).get("Status") == "healthy"


def alone(name: str, *words: str) -> None:
    """Run a command of the machine in the network of this container."""
    pid = inspect(name)["State"]["Pid"]
    inside("nsenter", f"--target={pid}", "--net", *words)


def sql(statement: str) -> str:
    """The first column of the rows, as the superuser sees them."""
    psql = ("psql", "--host=/run/postgresql", "--username=backroom", "--no-psqlrc", "--tuples-only", "--no-align")
    return docker("exec", container("postgres"), *psql, "--dbname=backroom", f"--command={statement}").strip()
