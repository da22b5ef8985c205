"""A mis-set environment is refused at boot, by the variable's name and without showing its value."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from shop.environment import Environment

WRONG = {
    "DEBUG": "maybe",
    "DATABASE_URL": "junk",
    "BROKER_URL": "foo",
    "EMAIL_URL": "http://127.0.0.1",
    "PARTNERS_URL": "ftp://127.0.0.1",
    "SITE_URL": "http://127.0.0.1:port",
    "STAFF_EMAIL": "nobody",
    "ALLOWED_HOSTS": "",
    "JOBS_RETENTION_DAYS": "-1",
    "DATABASE_STATEMENT_TIMEOUT": "soon",
    "WORKER_GRACE": "soon",
    "DEPLOY_WINDOW": "soon",
    "MAIL_RATE": "nan",
    "ALERT_MAIL_TO": "a@shop.example,nobody",
    "METRICS_TOKEN": "too short",
}


@pytest.mark.parametrize("name", WRONG)
def test_junk_is_refused_in_one_line_that_names_the_variable(name):
    env = {**os.environ, name: WRONG[name]}
    boot = subprocess.run([sys.executable, "-c", "import shop.settings"], env=env, capture_output=True, text=True)
    assert boot.returncode != 0
    last = boot.stderr.strip().splitlines()[-1]
    assert name in last
    assert not WRONG[name] or WRONG[name] not in last.replace("should be", "")


def test_manage_py_says_it_without_a_traceback():
    env = {**os.environ, "BROKER_URL": "foo"}
    boot = subprocess.run([sys.executable, "manage.py", "check"], env=env, capture_output=True, text=True)
    assert boot.returncode == 1
    assert boot.stderr.startswith("BROKER_URL should look like redis://host:port")
    assert len(boot.stderr.splitlines()) == 1


def test_a_secret_key_that_is_too_short_is_refused_in_production():
    env = {**os.environ, "DEBUG": "false", "SECRET_KEY": "short"}
    boot = subprocess.run([sys.executable, "-c", "import shop.settings"], env=env, capture_output=True, text=True)
    assert "SECRET_KEY is too short" in boot.stderr


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL is not set"):
        Environment().address("DATABASE_URL", ("postgres",))
