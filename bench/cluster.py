"""The servers a measurement runs on: its own PostgreSQL and Valkey, and Django set up on them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from stack import servers


@contextmanager
def running(**more: str) -> Iterator[dict[str, str]]:
    """A fresh database with the catalogue, an empty broker, and Django's settings loaded, with `more` in the
    environment; yields the environment."""
    with tempfile.TemporaryDirectory(prefix="backroom-bench-") as folder, servers.running(Path(folder)) as env:
        os.environ.update(env, DJANGO_SETTINGS_MODULE="shop.settings", **more)
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("seed", verbosity=0)
        yield env
