"""What the processes of one shop are told: addresses and passwords, in the file `env` of the var folder.

Whoever runs `manage.py audit` in another terminal gets the same shop, because settings read that file.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from stack import Problem
from stack.ports import HOST

FILE = "env"
STAFF = "staff"  # the demo's account for the admin, the staff pages and Flower
OVERRIDES = (
    "DATABASE_URL", "BROKER_URL", "EMAIL_URL", "SECRET_KEY", "DEBUG", "LOG_FORMAT", "FLOWER_BASIC_AUTH", "WORKER_GRACE",
    "ALERT_MAIL_TO",
    "METRICS_TOKEN",
)  # fmt: skip


def private_folder(path: Path) -> Path:
    """The folder, made if missing, open to its owner only. Raises Unusable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}: set BACKROOM_VAR to a folder of your own") from None
    return path


@contextlib.contextmanager
def locked(var: Path) -> Iterator[None]:
    """Keeps the folder for ourselves during the block. Raises InUse if another process has it."""
    with (private_folder(var) / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"a shop already runs on {var}: stop it, or set BACKROOM_VAR and other ports") from None
        yield


class Unusable(Problem):
    """A folder that can't be made, or is another user's; the text is one line."""


class InUse(Problem):
    """Another process runs a shop on this folder; the text is one line."""


def private_file(path: Path, text: str) -> Path:
    """The file with this text, readable by its owner only from its first byte on, never half-written."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
    return path


def secret(var: Path, name: str) -> str:
    """The secret of this name, made at its first use and kept in `secrets/` of the var folder."""
    path = private_folder(var / "secrets") / name
    if not path.exists():
        private_file(path, secrets.token_urlsafe(48 if name == "key" else 18) + "\n")
    return path.read_text().strip()


def build(var: Path, ports: Mapping[str, int], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of the shop's processes; values in `given` (the user's own servers) win."""
    database, broker, staff = (secret(var, name) for name in ("database", "broker", "staff"))

    def address(scheme: str, name: str) -> str:
        return f"{scheme}://{HOST}:{ports[name]}"

    env = {
        "BACKROOM_VAR": str(var),
        "DEBUG": "true",
        "LOG_FORMAT": "pretty",
        "SECRET_KEY": secret(var, "key"),
        "DATABASE_URL": f"postgres://backroom:{database}@{HOST}:{ports['DATABASE_PORT']}/backroom",
        "BROKER_URL": f"redis://:{broker}@{HOST}:{ports['BROKER_PORT']}/0",
        "EMAIL_URL": address("smtp", "SMTP_PORT"),
        "PARTNERS_URL": address("http", "PARTNERS_PORT"),
        "SITE_URL": address("http", "WEB_PORT"),
        "FLOWER_URL": address("http", "FLOWER_PORT"),
        "INBOX_URL": address("http", "MAIL_PORT"),
        "FLOWER_BASIC_AUTH": f"{STAFF}:{staff}",
        "STAFF_PASSWORD": staff,
        "ALERT_MAIL_TO": "oncall@backroom.example",
        "METRICS_TOKEN": secret(var, "metrics"),
    }
    env |= {name: str(port) for name, port in ports.items()}
    return env | {name: given[name] for name in OVERRIDES if given and given.get(name)}


def write(var: Path, env: Mapping[str, str]) -> Path:
    """Writes the file `env`. Values are ours or a URL of the user's: one line each, never quoted."""
    lines = "".join(f"{name}={value}\n" for name, value in env.items())
    return private_file(var / FILE, f"# Written at each start of the shop on this folder.\n{lines}")
