"""A Django project as `django-admin startproject` makes it, with an environment and a database of its own."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.adopt import document

ROOT = Path(__file__).parents[2]


class Environment:
    """A virtual environment with the wheel in it, installed by the document's own commands. It has the Python, the
    Django and the Celery of the run, which `make versions` chooses."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        versions = [f"{name}=={metadata.version(name)}\n" for name in ("celery", "Django")]
        (folder / "constraints.txt").write_text("".join(versions))
        self.install("1. Install")

    def install(self, heading: str) -> None:
        """Run the pip commands below this heading. Modules are compiled when they are imported: that is faster."""
        env = os.environ | {
            "PIP_CONSTRAINT": str(self.folder / "constraints.txt"),
            "PIP_NO_COMPILE": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        pip = [sys.executable, "-m", "pip", "-qq", "--python", str(self.bin / "python")]
        for line in document.commands(heading)[0]:
            name, *arguments = shlex.split(line.replace("path/to/this/checkout", str(ROOT)))
            assert name == "pip"
            subprocess.run([*pip, *arguments], cwd=self.folder, env=env, check=True)

    @property
    def wheel(self) -> Path:
        (found,) = self.folder.glob("*.whl")
        return found


class Project:
    """A project before Backroom, with an app `sales`; `broker` is the number of a database."""

    def __init__(self, environment: Environment, folder: Path, broker: int, settings: str = "") -> None:
        self.environment, self.folder = environment, folder
        self.started, self.gate, self.sent = (folder / name for name in ("started", "gate", "sent"))
        self.processes: list[subprocess.Popen] = []
        self.env = {
            "PATH": f"{environment.bin}:/usr/bin:/bin",
            "BROKER_URL": urlsplit(os.environ["BROKER_URL"])._replace(path=f"/{broker}").geturl(),
            "FOLDER": str(folder),
        }
        folder.mkdir()
        self.run("django-admin", "startproject", "project", ".")
        self.url = create_database(folder.name)
        databases = {"default": django(self.url), "other": django(create_database(f"{folder.name}_other"))}
        self.append("project/settings.py", f"DATABASES = {databases!r}\nINSTALLED_APPS += ['sales']\n{settings}")
        shutil.copytree(Path(__file__).parent / "apps", folder, dirs_exist_ok=True)

    def append(self, file: str, text: str) -> None:
        """Write text at a file's end."""
        path = self.folder / file
        with path.open("a") as out:
            out.write(f"\n{text}")

    def apply(self, *headings: str) -> None:
        """Write the document's files."""
        for block in document.blocks(*headings):
            if block.file:
                self.append(block.file, block.text)

    def run(self, *command: str, fails: bool = False, **env: str) -> str:
        """Run a command; returns what it wrote."""
        command = (str(self.environment.bin / command[0]), *command[1:])
        done = subprocess.run(
            command, cwd=self.folder, env=self.env | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert bool(done.returncode) == fails, done.stdout
        return done.stdout

    def python(self, source: str) -> str:
        """Run Python in the project; returns the last line that it wrote."""
        setup = "import django; django.setup()\n"
        written = self.run("python", "-c", setup + textwrap.dedent(source), DJANGO_SETTINGS_MODULE="project.settings")
        return written.splitlines()[-1] if written else ""

    def start(self, command: str) -> subprocess.Popen:
        """Start a process in a session of its own; its output goes to the file `log`."""
        name, *arguments = shlex.split(command)
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [self.environment.bin / name, *arguments],
                cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            if process.poll() is None:
                kill(process)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def rows(self, sql: str) -> list[tuple]:
        """The rows that a statement returns from the project's database."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()

    def jobs(self) -> list[tuple]:
        """Each job's key, state and claims."""
        return self.rows("SELECT key, state, claims FROM backroom_job ORDER BY id")


def kill(process: subprocess.Popen) -> None:
    """SIGKILL the process and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lines(file: Path) -> list[str]:
    """A file's lines; none if it is not there."""
    return file.read_text().splitlines() if file.exists() else []


def create_database(name: str) -> str:
    """Create a database on the run's server; returns its address."""
    url = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url._replace(path=f"/{name}").geturl()


def django(address: str) -> dict[str, object]:
    """Django's settings for a database."""
    url = urlsplit(address)
    return {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
        "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port,
    }  # fmt: skip
