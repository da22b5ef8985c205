"""A pytest plugin (`-p tests.servers`): the run's own PostgreSQL and Valkey on free ports, beside any demo.

A plugin and not a conftest, because pytest-django imports the settings before it reads any conftest, and the settings
refuse to load without a database and a broker.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from stack import servers

_running = ExitStack()
_var = Path(_running.enter_context(tempfile.TemporaryDirectory(prefix="backroom-test-")))
(_var / "static").mkdir()  # WhiteNoise warns where it is missing
os.environ.update(_running.enter_context(servers.running(_var)))


def pytest_unconfigure() -> None:
    _running.close()
