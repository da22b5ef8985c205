"""The var folder: its secrets, its file `env`, its lock and its version."""

import os
import stat
import subprocess
import sys

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from pydantic import TypeAdapter

from shop.environment import Limits
from stack import Problem, environment, ports, prepare, processes, servers
from stack.supervisor import CHECKOUT


@pytest.fixture
def env(tmp_path):
    return environment.build(tmp_path, ports.DEFAULTS)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_kept(tmp_path):
    first = environment.secret(tmp_path, "database")
    assert len(first) >= 24
    assert environment.secret(tmp_path, "database") == first
    assert environment.secret(tmp_path, "broker") != first


def test_secrets_and_the_env_file_admit_only_their_owner(tmp_path, env):
    written = environment.write(tmp_path, env)
    assert mode(written) == 0o600
    assert mode(tmp_path / "secrets") == 0o700
    assert {mode(path) for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_no_command_line_shows_a_secret(tmp_path, env):
    servers.prepare_valkey(tmp_path, ports.DEFAULTS["BROKER_PORT"])
    table = [
        processes.postgres(tmp_path, ports.DEFAULTS["DATABASE_PORT"]),
        processes.valkey(tmp_path),
        *processes.shop(env),
    ]
    shown = " ".join(word for process in table for word in process.command)
    secrets = [path.read_text().strip() for path in (tmp_path / "secrets").iterdir()]
    assert len(secrets) == 12
    assert not [secret for secret in secrets if secret in shown]


def test_a_variable_that_holds_a_secret_is_named_as_one(tmp_path, env):
    """Else a process that does not need it would get it."""
    secrets = [path.read_text().strip() for path in (tmp_path / "secrets").iterdir()]
    holding = {name for name, value in env.items() if any(secret in value for secret in secrets)}
    assert holding <= set(environment.SECRETS)
    command = [*environment.keeping("BROKER_URL"), "env"]
    shown = subprocess.run(command, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True).stdout
    assert {line.partition("=")[0] for line in shown.splitlines()} >= {"BROKER_URL", "SITE_URL"}
    assert [secret for secret in secrets if secret in shown] == [environment.secret(tmp_path, "broker")]


def test_servers_of_the_users_own_replace_ours(tmp_path):
    given = {"DATABASE_URL": "postgres://me@db/shop", "BROKER_URL": "", "HOME": "/root"}
    env = environment.build(tmp_path, ports.DEFAULTS, given)
    assert env["DATABASE_URL"] == "postgres://me@db/shop"
    assert env["BROKER_URL"].endswith("@127.0.0.1:6390/0")
    assert "HOME" not in env


def test_a_folder_of_an_older_version_is_refused_in_one_line_and_left_untouched(tmp_path):
    var = tmp_path / "var"
    environment.private_folder(var / "postgres")
    (var / "postgres" / "PG_VERSION").write_text("18")
    (var / "env").write_text("WEB_PORT=8000")
    before = contents(var)
    for command in ("demo", "servers"):
        start = [sys.executable, "-m", "stack", command]
        given = {"BACKROOM_VAR": str(var), **{name: str(port) for name, port in ports.free().items()}}
        done = subprocess.run(
            start, env={"PATH": os.environ["PATH"], **given}, cwd=CHECKOUT, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"{var} holds data of an older version")
        assert done.stderr.count("\n") == 1
        assert f"run rm -r {var} to delete it" in done.stderr  # make clean deletes another folder
        assert contents(var) == before


def test_make_clean_deletes_the_default_folder_only(tmp_path, monkeypatch):
    (tmp_path / "var" / "postgres").mkdir(parents=True)
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    with pytest.raises(Problem, match="run make clean to delete it"):
        environment.check_version(tmp_path / "var")


def contents(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in [folder, *folder.rglob("*")]
    }


def test_a_folder_of_this_version_is_used_again(tmp_path):
    with environment.locked(tmp_path):
        (tmp_path / "postgres").mkdir()
    with environment.locked(tmp_path):
        assert (tmp_path / "version").read_text() == environment.VERSION


@pytest.mark.django_db
def test_a_database_of_an_older_version_is_refused_before_it_is_migrated():
    prepare.check_version()
    MigrationRecorder(connection).record_applied("jobs", "0001_initial")
    with pytest.raises(SystemExit, match="DATABASE_URL holds data of an older version"):
        prepare.check_version()


def test_every_line_of_the_env_file_is_one_variable(tmp_path, env):
    lines = environment.write(tmp_path, env).read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines[1:]) == env


def test_two_processes_can_not_run_a_shop_on_one_folder(tmp_path):
    with (
        environment.locked(tmp_path),
        pytest.raises(Problem, match="set BACKROOM_VAR"),
        environment.locked(tmp_path),
    ):
        pass
    with environment.locked(tmp_path):
        pass


def test_the_demo_limits_sign_ins_only(env):
    """Customers of the lab, the chaos and the bench come from one address, at high rates."""
    assert set(TypeAdapter(Limits).validate_python(env["LIMITS"])) == {
        "sign_ins_by_account",
        "sign_ins_by_client",
        "codes_by_account",
    }
