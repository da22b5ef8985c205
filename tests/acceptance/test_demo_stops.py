"""How the demo ends: the last of the tests that share it."""

import os
import re
import signal

import psycopg
import pytest
from dotenv import dotenv_values

from stack import servers
from tests.demo import Demo
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


# The others need the folder that the first one leaves; pytest keeps the order of a file.
def test_ctrl_c_stops_everything_in_order_and_leaves_no_process(demo):
    assert demo.ctrl_c() == 0
    assert (demo.processes(), demo.ports_in_use()) == ([], [])
    stages = re.findall(r"^  (\S.*?) +stopped", demo.text, re.MULTILINE)
    assert stages == ["lab", "watcher, flower", "dispatcher, beat", "worker", "web", "partners", "postgres, valkey"]


def test_the_data_is_still_there(demo):
    demo.ctrl_c()
    with servers.running(demo.var), psycopg.connect(dotenv_values(demo.var / "env")["DATABASE_URL"]) as database:
        assert (demo.order_number(),) in database.execute("SELECT number FROM orders_order").fetchall()


@pytest.mark.slow
def test_it_starts_again_on_its_data_and_even_a_kill_leaves_no_process(demo):
    demo.ctrl_c()
    again = Demo(demo.var, demo.numbers).wait_until_up()
    try:
        with psycopg.connect(dotenv_values(demo.var / "env")["DATABASE_URL"]) as database:
            kept = database.execute("SELECT number FROM orders_order").fetchall()
        assert {(demo.order_number(),), (again.order_number(),)} <= set(kept)
    finally:
        again.process.kill()
        again.process.wait()
    # Its end goes to supervisord, which stops one process after the other, for half a minute: so it is killed, too.
    until(lambda: "received SIGTERM" in (again.var / "log" / "supervisord.log").read_text())
    for pid in again.processes("stack/supervisord.py"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not again.processes() and not again.ports_in_use(), seconds=100, what="all gone")
