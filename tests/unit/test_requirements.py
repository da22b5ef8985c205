"""Each installed file is named with its hash, for each Python and each machine: pip refuses all else."""

import re
from importlib import metadata
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]
LOCKED = {file.name: file.read_text() for file in CHECKOUT.glob("requirements*.txt")}
IMAGE = ["requirements.txt"]
PYTHONS = ["3.11.0", "3.12.0", "3.13.0", "3.14.0"]
MACHINES = [("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64")]
EXTRAS = {"celery": ["redis"], "kombu": ["redis"], "psycopg": ["binary"]}


def test_every_pinned_version_has_hashes():
    for text in LOCKED.values():
        for pin in re.findall(r"^[^\s#].*\n.*", text, re.MULTILINE):
            assert re.fullmatch(r"[\w.-]+==\S+.*\n +--hash=sha256:[0-9a-f]{64}.*", pin), pin


def test_every_installer_demands_the_hashes():
    for installer in ("Dockerfile", "Makefile", "stack/bootstrap.py"):
        text = (CHECKOUT / installer).read_text()
        assert "--require-hashes" in text
        others = [line for line in text.splitlines() if "pip install" in line and "--require-hashes" not in line]
        assert [line for line in others if not line.endswith("pip-tools")] == [], "it makes the hashes"


@pytest.mark.parametrize("files", [IMAGE, [*IMAGE, "requirements-dev.txt"]], ids=["image", "checkout"])
def test_a_pinned_tree_is_whole_on_every_machine(files):
    pinned = {
        canonicalize_name(name) for file in files for name in re.findall(r"^([\w.-]+)==", LOCKED[file], re.MULTILINE)
    }
    missing = set()
    for version, (platform, system, machine) in product(PYTHONS, MACHINES):
        env = {"python_full_version": version, "python_version": version.rpartition(".")[0], "sys_platform": platform}
        env |= {"platform_system": system, "platform_machine": machine}
        for name in pinned:
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                extras = ["", *EXTRAS.get(name, [])]
                wanted = needed.marker is None or any(needed.marker.evaluate({**env, "extra": each}) for each in extras)
                if wanted and canonicalize_name(needed.name) not in pinned:
                    missing.add(f"{name}, Python {version}: {text}")
    assert missing == set()
