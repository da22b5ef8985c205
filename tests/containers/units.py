"""Runs deploy/systemd under a real systemd, beside the containers' servers, by the commands of docs/deploying.md."""

import json
from collections.abc import Container

from stack.terminal import step
from tests.containers.engine import ANY, VAR, compose, container, inside
from tests.containers.rows import End, Row
from tests.containers.run import PATIENCE
from tests.waiting import until

WORKERS = ("worker-critical", "worker-default", "worker-bulk", "worker-media", "worker-webhooks")
OTHERS = ("dispatcher", "beat", "watcher", "flower")
UNITS = {name: f"backroom-{name.replace('worker-', 'worker@')}" for name in ("web", *WORKERS, *OTHERS)}


def start() -> None:
    """The web of compose stays for `manage.py`, and gets no requests."""
    with step("deploy/systemd"):
        write_environment()
        compose("stop", "proxy", *WORKERS, *OTHERS)
        compose("--profile=units", "up", "--detach", "--no-deps", "--build", "units")
        until(lambda: systemctl("is-system-running", fine=ANY).strip() == "running", PATIENCE, "systemd runs")
        systemctl("start", "backroom-migrate")
        systemctl("enable", "--now", "door.socket", "backroom.target")
        until(active, PATIENCE, "all units are active")


def write_environment() -> None:
    """The files of /etc/backroom, with what compose gives to its containers."""
    services = json.loads(compose("config", "--format=json"))["services"]
    given = {name: service.get("environment", {}) for name, service in services.items()}
    files = {
        "settings": {},
        "shop": given["watcher"],
        "web": {"METRICS_TOKEN": given["web"]["METRICS_TOKEN"]},
        "flower": given["flower"],
        "owner": {name: given["migrate"][name] for name in ("DATABASE_URL", "DATABASE_STATEMENT_TIMEOUT")},
    }
    folder = VAR / "units"
    folder.mkdir(exist_ok=True)
    for name, variables in files.items():
        text = "".join(f"{variable}={value}\n" for variable, value in variables.items() if value is not None)
        (folder / f"{name}.env").write_text(text)


def systemctl(*words: str, fine: Container[int] = (0,)) -> str:
    return inside("docker", "exec", container("units"), "systemctl", *words, fine=fine)


def active() -> bool:
    return set(systemctl("is-active", *UNITS.values(), fine=ANY).split()) == {"active"}


def unit_killed(row: Row) -> End:
    """systemd kills what the main process leaves, and starts the unit again."""
    systemctl("kill", "--signal=KILL", "--kill-whom=main", UNITS[row.service])
    return lambda: None


def units_deployed(_: Row) -> End:
    systemctl("start", "backroom-migrate")
    for name, unit in UNITS.items():
        systemctl("reload" if name == "web" else "restart", unit)
    return lambda: None


def units_stopped(_: Row) -> End:
    """Raises AssertionError if a unit did not end within its grace."""
    systemctl("stop", "backroom.target")
    results = systemctl("show", "--property=Result", "--value", *UNITS.values()).split()
    assert set(results) == {"success"}, dict(zip(UNITS, results, strict=True))
    return lambda: systemctl("start", "backroom.target")


ROWS = [*(Row(unit_killed, name) for name in UNITS), Row(units_deployed, "all"), Row(units_stopped, "all")]
