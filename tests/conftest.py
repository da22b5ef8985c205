"""What tests of all kinds share: the partners' real process, and a Celery pointed at the real broker."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import urllib3
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from backroom.outbound import breaker
from backroom.runtime import broker
from stack import ports, readiness
from tests import truncate
from tests.demo import Demo
from tests.waiting import until

truncate.after_each_test()
settings.WHITENOISE_AUTOREFRESH = True  # otherwise each test's client reads all static files: 20 % of the CPU time
PBKDF2PasswordHasher.iterations = 1000  # of a million, which take 0.25 s
broker.TIMEOUT = 1.0  # a busy machine's broker takes over 0.25 s now and then, and a test would count its message
logging.raiseExceptions = False  # threads of a mail server log to the output that pytest captured for an earlier test


@pytest.fixture(autouse=True)
def _breakers_closed() -> None:
    """What a test did to a partner is not held against it in the next."""
    breaker.reset()


@pytest.fixture(scope="session")
def partners_process() -> Iterator[str]:
    """The real partners' process; its address."""
    process = subprocess.Popen([sys.executable, "-m", "partners"], env=os.environ)
    try:
        until(lambda: readiness.http_ok(f"{os.environ['PARTNERS_URL']}/healthz"), what="partners")
        yield os.environ["PARTNERS_URL"]
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def partners(partners_process: str, settings) -> str:
    """The partners' address, with no faults and nothing recorded; mail goes to their real SMTP server, too."""
    settings.EMAIL_BACKEND = "notifications.smtp.Backend"  # pytest-django swaps it for a mailbox
    urllib3.request("POST", f"{partners_process}/reset")
    return partners_process


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One `make demo` for all tests that need one. tests/acceptance/test_demo_stops.py ends it."""
    running = Demo(tmp_path_factory.mktemp("demo") / "var", ports.free())
    try:
        yield running.wait_until_up()
    finally:
        running.ctrl_c()
