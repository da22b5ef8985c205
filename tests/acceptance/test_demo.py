"""`make demo` as a person lives it: started for real on free ports, its processes killed, stopped by Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path

import celery
import psycopg
import pytest
import redis
import urllib3

from stack import environment, ports, processes
from stack.supervisor import CHECKOUT
from tests.demo import Demo
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_the_demo_prints_the_timeline_of_a_sample_order(demo):
    assert re.search(r"order \d+ placed: answered in \d+ ms \(paid, €\d+\.\d\d\)", demo.text)
    assert re.search(r"invoice PDF made +after \d+\.\d\d s", demo.text)
    assert re.search(r"receipt mailed +after \d+\.\d\d s", demo.text)


def test_the_demo_prints_the_address_of_its_operations_pages(demo):
    assert f"operations    http://{ports.HOST}:{demo.numbers['WEB_PORT']}/ops/  (staff / " in demo.text


def test_make_ctl_reaches_the_demo_of_its_folder(demo):
    words = ["make", "--silent", "ctl", "DO=pid worker-bulk"]
    env = os.environ | {"BACKROOM_VAR": str(demo.var)}
    done = subprocess.run(words, cwd=CHECKOUT, env=env, capture_output=True)
    assert int(done.stdout) in demo.processes("--queues=bulk")
    done = subprocess.run([*words[:-1], "DO=status"], cwd=CHECKOUT, env=env, capture_output=True)
    assert (done.returncode, b"STOPPED" in done.stdout) == (0, True), "those that only the lab starts"


def test_colours_are_for_terminals_only(demo):
    assert "\033" not in demo.text


def test_audit_just_works_in_another_terminal(demo):
    elsewhere = {"PATH": os.environ["PATH"], "BACKROOM_VAR": str(demo.var)}
    audit = [sys.executable, "manage.py", "audit", "--json"]
    done = subprocess.run(audit, cwd=CHECKOUT, env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"lost": []' in done.stdout


def test_servers_and_flower_refuse_a_login_without_the_password(demo):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=ports.HOST, port=demo.numbers["DATABASE_PORT"], user="backroom", password="guess")
    with redis.Redis(ports.HOST, demo.numbers["BROKER_PORT"]) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    flower = f"http://{ports.HOST}:{demo.numbers['FLOWER_PORT']}/workers"
    assert urllib3.request("GET", flower).status == 401
    user, password = re.search(r"Flower .*\((\S+) / (\S+)\)", demo.text).groups()
    known = urllib3.make_headers(basic_auth=f"{user}:{password}")
    assert urllib3.request("GET", flower, headers=known).status == 200


def test_wrong_passwords_at_flower_are_limited_and_logged(demo):
    flower = f"http://{ports.HOST}:{demo.numbers['FLOWER_PORT']}/workers"
    wrong = urllib3.make_headers(basic_auth="stranger:guess")
    answers = [urllib3.request("GET", flower, headers=wrong, retries=False) for _ in range(10)]
    assert [answer.status for answer in answers] == [401] * 10
    while answers[-1].status == 401 and len(answers) < 99:  # one does not count if a busy broker is too slow
        answers.append(urllib3.request("GET", flower, headers=wrong, retries=False))
    assert answers[-1].status == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 30
    assert answers[-1].data.startswith(b"Too many requests. Try again in ")
    log = demo.var / "log" / "flower.log"  # the supervisor writes it, a moment later
    until(lambda: "limit=sign_ins_by_account what='limit reached'" in log.read_text())
    assert log.read_text().count("what='sign-in failed'") == len(answers)


def test_no_secret_is_served_logged_or_given_to_a_process_that_does_not_need_it(demo):
    env = dict(line.split("=", 1) for line in (demo.var / "env").read_text().splitlines()[1:])
    secrets = {path.name: path.read_text().strip() for path in (demo.var / "secrets").iterdir()}
    assert secrets.keys() >= {"database", "broker", "staff", "key", "metrics"}
    shown = flower_shows(env) | site_shows(env) | workers_say(env)
    shown |= {path.name: path.read_text(errors="replace") for path in (demo.var / "log").iterdir()}
    given = {name: environ(demo, text) for name, text in PROCESSES.items()}
    found = {(where, name) for where, text in (shown | given).items() for name, one in secrets.items() if one in text}
    own = {("partners", name.lower()) for name in environment.WEBHOOKS}
    assert found == {("flower", "broker"), ("flower", "staff")} | own
    for where, text in given.items():
        assert {"DATABASE_URL", "SECRET_KEY"} & {line.partition("=")[0] for line in text.split("\0")} == set(), where


PROCESSES = {"partners": "-m partners", "postgres": "bin/postgres", "flower": "shop.flower"}


def environ(demo: Demo, text: str) -> str:
    """The environment of a process and of its children."""
    found = [Path(f"/proc/{pid}/environ").read_text(errors="replace") for pid in demo.processes(text)]
    assert found, text
    return "\0".join(found)


def flower_shows(env: dict[str, str]) -> dict[str, str]:
    account = urllib3.make_headers(basic_auth=env["FLOWER_BASIC_AUTH"])

    def get(path: str) -> str:
        answer = urllib3.request("GET", env["FLOWER_URL"] + path, headers=account, timeout=60)
        assert answer.status == 200, path
        return answer.data.decode()

    workers = json.loads(get("/api/workers?refresh=1"))
    assert len(workers) == len(processes.QUEUES)
    paths = ["/workers", "/tasks", "/broker", "/metrics", "/api/workers", *(f"/worker/{name}" for name in workers)]
    pages = {path: get(path) for path in paths}
    assert all("redis://shop:********@" in pages[f"/worker/{name}"] for name in workers)
    return pages


def site_shows(env: dict[str, str]) -> dict[str, str]:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar := CookieJar()))
    login = f"{env['SITE_URL']}/admin/login/"
    browser.open(login, timeout=60).close()
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = {"username": "staff", "password": env["STAFF_PASSWORD"], "csrfmiddlewaretoken": token, "next": "/ops/"}
    browser.open(login, urllib.parse.urlencode(form).encode(), timeout=60).close()
    paths = [
        "/ops/",
        "/ops/jobs/",
        "/ops/alerts/",
        "/metrics",
        "/admin/",
        "/api/products",
        "/api/openapi.json",
        "/lab/",
    ]
    return {path: browser.open(env["SITE_URL"] + path, timeout=60).read().decode() for path in paths}


def workers_say(env: dict[str, str]) -> dict[str, str]:
    with celery.Celery("ask", broker=env["BROKER_URL"], set_as_current=False) as app:
        ask = partial(app.control.broadcast, reply=True, timeout=60, limit=3)
        return {command: str(ask(command)) for command in ("conf", "stats", "report")}


def test_the_shop_may_change_rows_only_and_no_process_has_a_password_for_more(demo):
    """tests/integration/test_roles.py has all that its role may not."""
    url = re.search("^DATABASE_URL=(.+)$", (demo.var / "env").read_text(), re.MULTILINE).group(1)
    with psycopg.connect(url) as shop, pytest.raises(psycopg.errors.InsufficientPrivilege):
        shop.execute("COPY (SELECT 1) TO PROGRAM 'true'")
    for name in "database", "shop_owner":
        assert demo.processes((demo.var / "secrets" / name).read_text().strip()) == []


def test_a_database_killed_by_surprise_is_started_again(demo):
    """The quick rows of the crash matrix need a web, workers and a dispatcher that are."""
    main = min(demo.processes("bin/postgres"))
    os.kill(main, signal.SIGKILL)
    until(lambda: demo.processes("bin/postgres") and main not in demo.processes("bin/postgres"), what="a new one")


def test_a_second_demo_on_the_same_folder_is_refused_in_one_line(demo):
    second = Demo(demo.var, ports.free())
    assert second.process.wait(60) == 1
    assert second.text.strip().splitlines()[-1].startswith(f"a shop already runs on {demo.var}: ")


def test_a_taken_port_is_refused_in_one_line_that_names_its_variable(demo, tmp_path):
    port = demo.numbers["WEB_PORT"]
    second = Demo(tmp_path / "var", ports.free() | {"WEB_PORT": port})
    assert second.process.wait(60) == 1
    line = second.text.strip().splitlines()[-1]
    assert line.startswith(f"WEB_PORT {port} is taken: set WEB_PORT to a free one, e.g. WEB_PORT=")
