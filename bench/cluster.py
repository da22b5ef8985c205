"""Starts the servers of a measurement, PostgreSQL and Valkey, and sets up Django on them; prints nothing.

The settings are those of production: with DEBUG, Django keeps the text of each query.
"""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from stack import environment, servers


@contextmanager
def running(**more: str) -> Iterator[dict[str, str]]:
    """A seeded database and an empty broker. Yields the environment, which has `more` in it."""
    with tempfile.TemporaryDirectory(prefix="backroom-bench-") as folder, servers.running(Path(folder)) as env:
        url = environment.database_url(Path(folder), env["DATABASE_PORT"], environment.SUPERUSER)
        env |= {"DEBUG": "false", "LOG_FORMAT": "json", **more}
        os.environ.update(env, DATABASE_URL=url, DJANGO_SETTINGS_MODULE="shop.settings")
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("seed", stdout=io.StringIO())
        yield env
