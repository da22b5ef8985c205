"""A mis-set environment is refused at boot, by the variable's name and without showing its value."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import environment

WRONG = {
    "DEBUG": "maybe",
    "DATABASE_URL": "postgres://shop:%zz@db.example:5432/shop",
    "BROKER_URL": "foo",
    "REDIS_URL": "amqp://127.0.0.1:5672",
    "EMAIL_URL": "http://127.0.0.1",
    "PARTNERS_URL": "ftp://127.0.0.1",
    "SITE_URL": "http://127.0.0.1:port",
    "STAFF_EMAIL": "no-address",
    "ALLOWED_HOSTS": "",
    "JOBS_RETENTION_DAYS": "-1",
    "DATABASE_STATEMENT_TIMEOUT": "soon",
    "WORKER_GRACE": "soon",
    "DEPLOY_WINDOW": "soon",
    "MAIL_RATE": "nan",
    "ALERT_MAIL_TO": "a@shop.example,no-address",
    "METRICS_TOKEN": "too short",
    "LIMITS": "orders_by_moon=1/1",
    "CLIENT_HEADER": "X Real IP",
    "HSTS_SCOPE": "galaxy",
}


# A process for each variable, forked from one that has imported what the settings import: that takes most of the time.
BOOT = """
import json, os, sys, traceback
import kombu, shop.environment, shop.logs, shop.schedule
for name, value in json.loads(sys.argv[1]).items():
    if not os.fork():
        os.dup2(os.open(f"{sys.argv[2]}/{name}", os.O_CREAT | os.O_WRONLY), 2)
        os.environ[name] = value
        try:
            import shop.settings
            print("it booted", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(0)  # the usual end takes a fifth of a second
    os.wait()
"""


@pytest.fixture(scope="module")
def boots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each process said that read one of the wrong settings."""
    folder = tmp_path_factory.mktemp("boots")
    subprocess.run([sys.executable, "-c", BOOT, json.dumps(WRONG), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_junk_is_refused_in_one_line_that_names_the_variable(boots: Path, name: str):
    last = (boots / name).read_text().strip().splitlines()[-1]
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


def test_production_demands_a_second_factor_and_binds_no_other_host_of_the_domain():
    env = {**os.environ, "DEBUG": "false", "SECRET_KEY": "x" * 50, "SITE_URL": "https://shop.example"}
    source = """from shop import settings
print(settings.STAFF_TOTP, settings.SECURE_HSTS_SECONDS > 0,
      settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD)"""
    for chosen, printed in [({}, "False False"), ({"HSTS_SCOPE": "subdomains"}, "True False")]:
        boot = subprocess.run([sys.executable, "-c", source], env=env | chosen, capture_output=True, text=True)
        assert boot.stdout == f"True True {printed}\n"


def test_production_sends_the_headers_and_cookies_that_a_browser_protects():
    env = {**os.environ, "DEBUG": "false", "SECRET_KEY": "x" * 50, "SITE_URL": "https://shop.example"}
    source = """import django, json
from django.test import Client
from shop import settings
settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"  # uncollected
django.setup()
client = Client(SERVER_NAME="localhost")
answer = client.get("/admin/login/", secure=True)
session = settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE, django.conf.settings.SESSION_COOKIE_HTTPONLY
found = [answer.status_code, dict(answer.headers), answer.cookies.output(), client.get("/")["Location"], session]
print(json.dumps(found))"""
    boot = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True)
    assert boot.returncode == 0, boot.stderr
    status, headers, cookies, redirect, session = json.loads(boot.stdout.splitlines()[-1])
    assert session == ["__Host-sessionid", True, True]
    assert (status, redirect) == (200, "https://localhost/")
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert (headers["X-Content-Type-Options"], headers["Cross-Origin-Opener-Policy"]) == ("nosniff", "same-origin")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "no-store" in headers["Cache-Control"]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Access-Control-Allow-Origin" not in headers
    assert cookies.startswith("Set-Cookie: __Host-csrftoken=")
    assert cookies.endswith("; Path=/; SameSite=Lax; Secure")


def test_what_is_missing_is_named():
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
        "BACKROOM_VAR": "/nonexistent"
    }
    boot = subprocess.run([sys.executable, "-c", "import shop.settings"], env=env, capture_output=True, text=True)
    assert boot.stderr.splitlines()[-1].endswith("ImproperlyConfigured: DATABASE_URL is not set.")


def test_the_file_of_the_demo_fills_in_and_the_process_wins(tmp_path):
    (tmp_path / "env").write_text("# made\nSTAFF_EMAIL=file@shop.example\nMETRICS_TOKEN=a#b${c}-0123456789-01234\n")
    env = {name: value for name, value in os.environ.items() if name != "METRICS_TOKEN"}
    env |= {"BACKROOM_VAR": str(tmp_path), "STAFF_EMAIL": "process@shop.example"}
    source = "from shop import settings; print(settings.STAFF_EMAIL, settings.METRICS_TOKEN)"
    boot = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True)
    assert boot.stdout.split() == ["process@shop.example", "a#b${c}-0123456789-01234"]


SECRETS = {
    "SECRET_KEY": "$a${b}$(c)%(d)s" * 4,
    "METRICS_TOKEN": "$HOME${HOME}$$-0123456789",
    "FLOWER_BASIC_AUTH": "staff:$HOME#${x}%(y)s",
    "BROKER_URL": "redis://:$p${x}%25@broker.example:6379/0",
    "EMAIL_URL": "smtp://u:$p${x}%25@mail.example:25",
    "DATABASE_URL": "postgres://u:$p${x}%25@db.example:5432/shop",
}


@pytest.mark.parametrize("in_file", [False, True], ids=["process", "file"])
def test_a_dollar_in_a_secret_stays_as_it_is(tmp_path, in_file):
    env = {name: value for name, value in os.environ.items() if name not in SECRETS} | {"BACKROOM_VAR": str(tmp_path)}
    if in_file:
        environment.write(tmp_path, SECRETS)
    source = """
import json, shop
from shop import settings
given = shop.celery_app.connection()
print(json.dumps([settings.SECRET_KEY, settings.METRICS_TOKEN, settings.env.FLOWER_BASIC_AUTH, given.password,
                  settings.EMAIL_HOST_PASSWORD, settings.DATABASES["default"]["PASSWORD"]]))
"""
    boot = subprocess.run(
        [sys.executable, "-c", source], env=env if in_file else env | SECRETS, capture_output=True, text=True
    )
    token, account = SECRETS["METRICS_TOKEN"], SECRETS["FLOWER_BASIC_AUTH"]
    assert json.loads(boot.stdout) == [SECRETS["SECRET_KEY"], token, [account], *["$p${x}%"] * 3]


def test_a_database_url_may_name_a_primary_and_its_standbys():
    url = "postgres://shop:p%3Aw@one.example:5433,two.example,three.example:5435/shop?target_session_attrs=read-write"
    env = {**os.environ, "DATABASE_URL": url}
    source = "import json; from shop import settings; print(json.dumps(settings.DATABASES['default']))"
    boot = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True)
    database = json.loads(boot.stdout)
    hosts = database["HOST"], database["PORT"], database["OPTIONS"]["target_session_attrs"], database["PASSWORD"]
    assert hosts == ("one.example,two.example,three.example", "5433,,5435", "read-write", "p:w")


def test_the_options_of_a_database_url_are_kept():
    """`sslmode=require` must not be lost beside the options that the shop sets."""
    env = {**os.environ, "DATABASE_URL": "postgres://us%40er:p%3Aw@db.example:5433/shop?sslmode=require"}
    source = "import json; from shop import settings; print(json.dumps(settings.DATABASES['default']))"
    boot = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True)
    database = json.loads(boot.stdout)
    assert (database["USER"], database["PASSWORD"]) == ("us@er", "p:w")
    assert database["OPTIONS"]["sslmode"] == "require"
    assert "default_transaction_isolation=read\\ committed" in database["OPTIONS"]["options"]
