"""Failpoints: exactly one thread hits an armed point, and the shop's own code does not import them."""

import importlib
import json
import subprocess
import sys
import threading
from functools import reduce
from pathlib import Path

import pytest

from lab.faults import failpoints
from lab.faults.failpoints import import_hook, points
from stack.supervisor import CHECKOUT
from tests.waiting import until

ROOMS = ("shop", "marketing", "orders", "accounts", "catalog", "notifications", "backroom", "partners", "stack")


@pytest.mark.parametrize("function", sorted({point.function for point in points.LEDGERED.values()}))
def test_every_points_function_exists(function):
    module, _, path = function.partition(":")
    assert callable(reduce(getattr, path.split("."), importlib.import_module(module)))


def test_one_of_many_threads_hits_an_armed_point_and_waits_for_its_release(tmp_path):
    wrapped = import_hook.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "web", match="A")
    assert wrapped("b") == "B"  # no match
    threads = [threading.Thread(target=wrapped, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    hit = armed.wait(60)
    until(lambda: sum(thread.is_alive() for thread in threads) == 1)
    assert (hit.process, "'A'" in hit.call) == ("web", True)
    hit.release()
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_a_thread_that_reads_the_armed_file_while_another_takes_it_reads_it_whole(tmp_path):
    wrapped = import_hook.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "web", action="fail")
    with armed.file.open() as reader:
        with pytest.raises(ConnectionError):
            wrapped("a")
        assert json.load(reader) == {"match": "", "action": "fail"}


def test_a_process_started_with_failpoints_hits_one_in_a_module_that_it_imports(tmp_path):
    code = "from backroom.runtime import publisher; publisher.publish(['orders.make_invoice'])"
    env = failpoints.environment(
        tmp_path, {"SUPERVISOR_PROCESS_NAME": "web", "DJANGO_SETTINGS_MODULE": "shop.settings"}
    )
    armed = failpoints.Failpoints(tmp_path).arm("after commit B", "web", action="exit")
    assert subprocess.run([sys.executable, "-c", code], env=env, cwd=CHECKOUT).returncode == 1
    assert armed.wait(0).process == "web"


def test_no_thread_hits_a_point_of_another_process(tmp_path):
    wrapped = import_hook.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "beat")
    assert wrapped("a") == "A"
    with pytest.raises(failpoints.NotHit):
        armed.wait(0)


def test_the_rooms_of_the_shop_do_not_mention_failpoints():
    files = [file for room in ROOMS for file in Path(CHECKOUT, room).rglob("*.py")]
    assert files
    assert [str(file) for file in files if "failpoint" in file.read_text().lower()] == []
