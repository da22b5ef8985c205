"""A pytest plugin (`-p tests.servers`): the run's own PostgreSQL and broker on free ports, beside any demo.

The broker is a Valkey, or the one that BROKER names: what it can't have is skipped.

A plugin and not a conftest, because pytest-django imports the settings before it reads any conftest, and the settings
refuse to load without a database and a broker. Each process of pytest-xdist has servers of its own, because tests
freeze and restart them.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from stack import environment, servers
from tests import brokers

_running = ExitStack()


def start() -> None:
    """Put both servers into the environment. The power never fails here, so PostgreSQL need not wait for the disk.

    Tests connect as the administrators: they create databases and rename tables. A Cluster connects as the shop.
    """
    var = Path(_running.enter_context(tempfile.TemporaryDirectory(prefix="backroom-test-")))
    (var / "static").mkdir()  # WhiteNoise warns where it is missing
    env = _running.enter_context(servers.running(var))
    env["READER_DATABASE_URL"] = ""  # settings would read it from the file `env`
    env["BROKER_URL"] = environment.broker_url(var, env["BROKER_PORT"], administrator=True)
    if brokers.chosen() != "valkey":
        env |= _running.enter_context(brokers.running(brokers.chosen(), var / "broker"))
        env["SHOP_BROKER_URL"] = env["BROKER_URL"]
        env["BROKER_URL"] = env.pop("BROKER_ADMIN_URL")
    env["DATABASE_URL"] = environment.database_url(var, env["DATABASE_PORT"], environment.SUPERUSER)
    os.environ.update(env)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as postgres:
        for setting in ("fsync", "full_page_writes"):
            postgres.execute(f"ALTER SYSTEM SET {setting} = off")
        postgres.execute("SELECT pg_reload_conf()")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if reason := brokers.cannot(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=f"{brokers.chosen()}: {reason}"))


def pytest_unconfigure() -> None:
    _running.close()


if os.environ.get("PYTEST_XDIST_WORKER") != "gw0":  # the first one inherits the servers of the process that started it
    start()
