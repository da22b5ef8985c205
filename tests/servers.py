"""A pytest plugin (`-p tests.servers`): the run's own PostgreSQL and Valkey on free ports, beside any demo.

A plugin and not a conftest, because pytest-django imports the settings before it reads any conftest, and the settings
refuse to load without a database and a broker. Each process of pytest-xdist loads it, too, and has servers of its own: a
test may freeze or restart them.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from stack import servers

_running = ExitStack()
_var = Path(_running.enter_context(tempfile.TemporaryDirectory(prefix="backroom-test-")))
(_var / "static").mkdir()  # WhiteNoise warns where it is missing
os.environ.update(_running.enter_context(servers.running(_var)))
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as _postgres:
    # No test here cuts the power, and waiting for the disk is a third of the time.
    for _setting in ("fsync", "full_page_writes"):
        _postgres.execute(f"ALTER SYSTEM SET {_setting} = off")
    _postgres.execute("SELECT pg_reload_conf()")


def pytest_unconfigure() -> None:
    _running.close()
