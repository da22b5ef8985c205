"""The environment of one shop's processes: addresses and passwords, in the file `env` of the var folder.

Settings read that file too, so `manage.py audit` in another terminal uses the same shop.
"""

import contextlib
import fcntl
import os
import secrets
import shlex
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stack import Problem
from stack.ports import HOST

CHECKOUT = Path(__file__).resolve().parent.parent
FILE = "env"
VERSION = "2"  # of the databases in a var folder; raise it when migrations begin anew
SUPERUSER = "backroom"  # of PostgreSQL; only the set-up knows its password
OWNER, SHOP, READER = ROLES = ("shop_owner", "shop", "shop_reader")  # see roles.sql
STAFF = "staff"  # the demo's account for the admin, the staff pages and Flower
# All customers of the lab, the chaos, the bench and the tests come from one address, at high rates.
UNLIMITED = (
    "orders_by_client=off,orders_by_email=off,unpaid_by_client=off,unpaid_pieces_by_client=off"
    ",carts_by_client=off,links_by_client=off,exports_by_account=off,webhooks_by_account=off,suggestions_by_client=off"
    ",newsletter_by_client=off,newsletter_by_email=off,account_mails_by_client=off,account_mails_by_email=off"
)
# the partners have them, too
WEBHOOKS = ("WAREHOUSE_WEBHOOK_SECRET", "SMS_WEBHOOK_SECRET", "MAIL_WEBHOOK_SECRET", "PAYMENTS_WEBHOOK_SECRET")
# No process gets those that it does not need; the file `env` has all of them.
SECRETS = (
    "SECRET_KEY", "DATABASE_URL", "OWNER_DATABASE_URL", "READER_DATABASE_URL", "BROKER_URL", "REDIS_URL", "EMAIL_URL",
    "FLOWER_BASIC_AUTH", "STAFF_PASSWORD", "METRICS_TOKEN", "VAPID_PRIVATE_KEY", *WEBHOOKS,
)  # fmt: skip
OVERRIDES = (
    "DATABASE_URL", "READER_DATABASE_URL", "BROKER_URL", "REDIS_URL", "BROKER_MASTER", "EMAIL_URL", "SECRET_KEY",
    "DEBUG", "LOG_FORMAT", "FLOWER_BASIC_AUTH", "WORKER_GRACE", "ALERT_MAIL_TO", "METRICS_TOKEN", "LIMITS",
    "STAFF_TOTP", "SHIPS_AFTER", "DELIVERS_AFTER", "PAYMENTS_AFTER", "STORAGE_URL", "CLAMD_URL",
    "DISABLE_SERVER_SIDE_CURSORS",
)  # fmt: skip
MAKERS: dict[str, Callable[[], str]] = {  # of a secret that is not 18 random bytes
    "key": lambda: secrets.token_urlsafe(48),
    "vapid": lambda: secrets.token_urlsafe(32),  # nearly any 32 bytes are a private key of P-256
    **{name.lower(): lambda: b64encode(secrets.token_bytes(32)).decode() for name in WEBHOOKS},
}


def keeping(*names: str) -> list[str]:
    """A command's prefix that drops all secrets but these from its environment."""
    return ["env", *(word for name in SECRETS if name not in names for word in ("-u", name))]


def private_folder(path: Path) -> Path:
    """Make the folder if it is missing, open to its owner only. Raises Problem."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}: set BACKROOM_VAR to a folder of your own") from None
    return path


@contextlib.contextmanager
def locked(var: Path) -> Iterator[None]:
    """Lock the folder during the block. Raises Problem if it is locked, or holds another version's data."""
    check_version(private_folder(var))
    with (var / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"a shop already runs on {var}: stop it, or set BACKROOM_VAR and other ports") from None
        private_file(var / "version", VERSION)
        yield


def check_version(var: Path) -> None:
    """Raises Problem if another version made the database in this folder. Changes nothing."""
    version = var / "version"
    if (var / "postgres").exists() and not (version.exists() and version.read_text() == VERSION):
        delete = "make clean" if var == CHECKOUT / "var" else f"rm -r {shlex.quote(str(var))}"
        choice = f"run {delete} to delete it, or set BACKROOM_VAR to a new folder to keep it for the old version"
        raise Problem(f"{var} holds data of an older version, which this version can't use: {choice}")


def private_file(path: Path, text: str) -> Path:
    """Write the file atomically. It is readable by its owner only from the start."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
    return path


def secret(var: Path, name: str) -> str:
    """The secret with this name in `secrets/` of the var folder. The first use makes it."""
    path = private_folder(var / "secrets") / name
    if not path.exists():
        private_file(path, MAKERS.get(name, lambda: secrets.token_urlsafe(18))() + "\n")
    return path.read_text().strip()


def database_url(var: Path, port: int | str, role: str, database: str = "backroom") -> str:
    """The address of the embedded PostgreSQL for a role."""
    password = secret(var, "database" if role == SUPERUSER else role)
    return f"postgres://{role}:{password}@{HOST}:{port}/{database}"


def broker_url(var: Path, port: int | str, administrator: bool = False) -> str:
    """The address of the embedded Valkey, for the shop's user or for its administrator, who may empty it."""
    account = f":{secret(var, 'broker_admin')}" if administrator else f"{SHOP}:{secret(var, 'broker')}"
    return f"redis://{account}@{HOST}:{port}/0"


def of_owner(env: Mapping[str, str]) -> dict[str, str]:
    """The same for a migration, which connects as the tables' owner. No other process has the owner's password."""
    var, port = Path(env["BACKROOM_VAR"]), env["DATABASE_PORT"]
    embedded = env["DATABASE_URL"] == database_url(var, port, SHOP)
    url = database_url(var, port, OWNER) if embedded else env.get("OWNER_DATABASE_URL") or env["DATABASE_URL"]
    return {**env, "DATABASE_URL": url}


def build(var: Path, ports: Mapping[str, int], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the shop's processes. OVERRIDES in `given` (e.g. the user's own servers) win."""
    staff = secret(var, "staff")
    http = f"http://{HOST}"
    env = {
        "BACKROOM_VAR": str(var),
        "DEBUG": "true",
        "LOG_FORMAT": "pretty",
        "SECRET_KEY": secret(var, "key"),
        "DATABASE_URL": database_url(var, ports["DATABASE_PORT"], SHOP),
        "READER_DATABASE_URL": database_url(var, ports["DATABASE_PORT"], READER),
        "BROKER_URL": broker_url(var, ports["BROKER_PORT"]),
        "EMAIL_URL": f"smtp://{HOST}:{ports['SMTP_PORT']}",
        "PARTNERS_URL": f"{http}:{ports['PARTNERS_PORT']}",
        "SITE_URL": f"{http}:{ports['WEB_PORT']}",
        "FLOWER_URL": f"{http}:{ports['FLOWER_PORT']}",
        "INBOX_URL": f"{http}:{ports['MAIL_PORT']}",
        "FLOWER_BASIC_AUTH": f"{STAFF}:{staff}",
        "STAFF_PASSWORD": staff,
        "ALERT_MAIL_TO": "oncall@backroom.example",
        "METRICS_TOKEN": secret(var, "metrics"),
        "VAPID_PRIVATE_KEY": secret(var, "vapid"),
        **{name: f"whsec_{secret(var, name.lower())}" for name in WEBHOOKS},
        "LIMITS": UNLIMITED,
        "WEBHOOK_ALLOW": f"{HOST}:{ports['PARTNERS_PORT']}",  # the receiver of the demo
        "SHIPS_AFTER": "",  # never by itself: an audit counts what an order alone causes
        "DELIVERS_AFTER": "",
        "PAYMENTS_AFTER": "",
    }
    env |= {name: str(port) for name, port in ports.items()}
    own = {name: given[name] for name in OVERRIDES if given and given.get(name)}
    if "DATABASE_URL" in own:
        del env["READER_DATABASE_URL"]  # it is of another server
    return env | own


def write(var: Path, env: Mapping[str, str]) -> Path:
    """Write the file `env`, one variable a line, without quotes."""
    lines = "".join(f"{name}={value}\n" for name, value in env.items())
    return private_file(var / FILE, f"# Each start of the shop on this folder writes this file.\n{lines}")
