"""deploy/systemd starts the same processes as `make demo`, with the same grace. tests/containers runs it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from celery import current_app

from shop.environment import Environment, FlowerEnvironment
from stack import environment, ports, processes
from tests import manifests

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "deploy/systemd"
CURRENT = "/srv/backroom/current"  # the link to the release
PYTHON = f"{CURRENT}/.venv/bin/python"
INSIDE = {"WEB_PORT": "8000", "FLOWER_PORT": "5555", "BACKROOM_VAR": "/var/lib/backroom"}
STACK = {process.name: process for process in processes.shop(INSIDE) if process.name != "partners"}
SERVICES = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
ANALYZE = shutil.which("systemd-analyze")


def unit_name(process: str) -> str:
    return f"backroom-{process.replace('worker-', 'worker@')}.service"


def unit(name: str) -> dict[str, list[str]]:
    """Each setting's values in systemd's order: the unit's file, then its drop-ins by their file names."""
    template = re.sub(r"@\w+", "@", name)
    general = "backroom-@.service.d" if "@" in name else "backroom-.service.d"
    folders = (UNITS / folder for folder in (general, f"{template}.d", f"{name}.d"))
    files = sorted({file for folder in folders for file in folder.glob("*.conf")}, key=lambda file: file.name)
    found: dict[str, list[str]] = {}
    for file in [UNITS / template, *files]:
        text = re.sub(r"\\\n\s*", "", file.read_text())
        for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
            found.setdefault(key, []).append(value.replace("%i", name.partition("@")[2].partition(".")[0]))
    return found


def variables(of: dict[str, list[str]]) -> dict[str, str]:
    """Those in the unit itself."""
    return dict(pair.split("=", 1) for line in of.get("Environment", []) for pair in line.split())


@pytest.mark.parametrize("name", STACK)
def test_a_unit_runs_the_command_of_the_demo(name):
    of = unit(unit_name(name))
    (line,) = of["ExecStart"]
    for variable, value in variables(of).items():
        line = line.replace(f"${{{variable}}}", value)
    demo = STACK[name].command
    demo = demo[len(demo) - demo[::-1].index(sys.executable) :]
    follows = [f"--chdir={CURRENT}"] if name == "web" else []
    assert shlex.split(line.replace("%%", "%")) == [PYTHON, *demo, *follows]
    assert ports.HOST == "127.0.0.1"  # a proxy of the machine is before it


@pytest.mark.parametrize("name", STACK)
def test_a_unit_gets_the_grace_of_the_demo_and_only_its_main_process_the_signal(name):
    of = unit(unit_name(name))
    assert int(of["TimeoutStopSec"][-1]) == STACK[name].grace
    assert len(of["TimeoutStopSec"]) == 1  # a drop-in's would win
    assert of["KillMode"] == ["mixed"]
    assert "KillSignal" not in of
    assert of["Restart"] == ["always"]


@pytest.mark.parametrize("queue", processes.QUEUES)
def test_a_worker_knows_its_grace_which_outlasts_its_jobs(queue):
    of = unit(unit_name(f"worker-{queue}"))
    assert of["TimeoutStopSec"] == [manifests.SETTINGS["WORKER_GRACE"]]
    assert "WORKER_GRACE" not in variables(of)  # settings.env would win
    assert int(of["TimeoutStopSec"][-1]) > current_app.conf.task_time_limit


@pytest.mark.parametrize("queue", processes.QUEUES)
def test_a_worker_yields_as_its_container_does(queue):
    of, service = unit(unit_name(f"worker-{queue}")), SERVICES[f"worker-{queue}"]
    shares = int(of.get("CPUWeight", ["100"])[-1]) / 100
    assert shares == pytest.approx(service.get("cpu_shares", 1024) / 1024, abs=0.01)
    assert ("CPUWeight" in of) == (queue in processes.YIELDING)
    assert of.get("MemoryMax") == ([service["mem_limit"].upper()] if "mem_limit" in service else None)


def test_the_target_starts_all():
    target = re.findall(r"^Wants=(.*)$", (UNITS / "backroom.target").read_text(), re.MULTILINE)
    assert {name for line in target for name in line.split()} == {unit_name(name) for name in STACK}
    for name in STACK:
        assert unit(unit_name(name))["PartOf"] == ["backroom.target"]


def test_the_watcher_stops_before_what_it_watches():
    after = {name for line in unit("backroom-watcher.service")["After"] for name in line.split()}
    watched = {unit_name(name) for name, process in STACK.items() if process.stage < STACK["watcher"].stage}
    assert after == {*watched, "network-online.target"}


def test_a_unit_reads_only_the_secrets_that_it_needs(tmp_path):
    subprocess.run(["sh", CHECKOUT / "deploy/secrets.sh", tmp_path], check=True)
    read = {name: {Path(file).stem for file in unit(unit_name(name))["EnvironmentFile"]} for name in STACK}
    assert read.pop("flower") == {"flower"}
    assert read.pop("web") == {"settings", "shop", "web"}
    assert {frozenset(files) for files in read.values()} == {frozenset({"settings", "shop"})}
    assert unit("backroom-migrate.service")["EnvironmentFile"][-1] == "/etc/backroom/owner.env"  # the last one wins
    secret = {file.stem: dict(line.split("=", 1) for line in file.read_text().split()) for file in tmp_path.iterdir()}
    assert secret.keys() == {"shop", "web", "flower", "owner"}
    assert [file for file in tmp_path.iterdir() if file.stat().st_mode & 0o077] == []
    assert secret["flower"].keys() < FlowerEnvironment.model_fields.keys()
    assert secret["owner"].keys() == {"DATABASE_URL", "DATABASE_STATEMENT_TIMEOUT"}
    unread = {"READER_DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}  # probe.py reads it, and boto3 these
    assert {*secret["shop"], *secret["web"]} - unread <= Environment.model_fields.keys()
    ours = {name for name in environment.SECRETS if name not in ("OWNER_DATABASE_URL", "STAFF_PASSWORD")}
    assert ours <= {*secret["shop"], *secret["web"], *secret["flower"]}
    assert subprocess.run(["sh", CHECKOUT / "deploy/secrets.sh", tmp_path], capture_output=True).returncode != 0


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here: install Debian's systemd")
@pytest.mark.parametrize("name", [*STACK, "migrate"])
def test_systemd_parses_a_unit_without_a_word_and_finds_little_exposed(name, tmp_path):
    shutil.copytree(UNITS, tmp_path, symlinks=True, dirs_exist_ok=True)
    for file in tmp_path.glob("*.service"):
        file.write_text(file.read_text().replace(PYTHON, sys.executable))  # it looks for the program
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    path = tmp_path / unit_name(name)
    if "@" in path.name:
        path.symlink_to(re.sub(r"@\w+", "@", path.name))
    for check in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=25", "--no-pager"]):
        done = subprocess.run([ANALYZE, *check, path], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
