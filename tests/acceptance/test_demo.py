"""`make demo` as a person lives it: started for real on free ports, its processes killed, stopped by Ctrl-C."""

import os
import re
import signal
import subprocess
import sys

import psycopg
import pytest
import redis
import urllib3

from stack import ports
from stack.supervisor import CHECKOUT
from tests.demo import Demo
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_the_demo_prints_the_timeline_of_a_sample_order(demo):
    assert re.search(r"order \d+ placed: answered in \d+ ms \(paid, \d+\.\d\d EUR\)", demo.text)
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


@pytest.mark.parametrize("words", ["--queues=critical", "shop.wsgi", "manage.py dispatcher", "bin/postgres"])
def test_a_process_killed_by_surprise_is_started_again(demo, words):
    main = min(demo.processes(words))
    os.kill(main, signal.SIGKILL)
    until(lambda: demo.processes(words) and main not in demo.processes(words), what=f"a new {words}")


def test_a_second_demo_on_the_same_folder_is_refused_in_one_line(demo):
    second = Demo(demo.var, ports.free())
    assert second.process.wait(20) == 1
    assert second.text.strip().splitlines()[-1].startswith(f"a shop already runs on {demo.var}: ")


def test_a_taken_port_is_refused_in_one_line_that_names_its_variable(demo, tmp_path):
    port = demo.numbers["WEB_PORT"]
    second = Demo(tmp_path / "var", ports.free() | {"WEB_PORT": port})
    assert second.process.wait(20) == 1
    line = second.text.strip().splitlines()[-1]
    assert line.startswith(f"WEB_PORT {port} is taken: set WEB_PORT to a free one, e.g. WEB_PORT=")
