"""Failpoints: what is armed from outside is hit by exactly one, and the shop's own code knows nothing of it."""

import importlib
import json
import subprocess
import sys
import threading
from functools import reduce
from pathlib import Path

import pytest

from lab.faults import failpoints
from lab.faults.failpoints import import_hook as inside
from lab.faults.failpoints import points
from stack.supervisor import CHECKOUT
from tests.waiting import until

ROOMS = ("shop", "orders", "catalog", "notifications", "backroom", "partners", "stack")


@pytest.mark.parametrize("function", sorted({point.function for point in points.LEDGERED.values()}))
def test_every_point_is_at_a_function_that_is_there(function):
    module, _, path = function.partition(":")
    assert callable(reduce(getattr, path.split("."), importlib.import_module(module)))


def test_one_of_many_hits_an_armed_point_and_stands_still_until_it_is_released(tmp_path):
    passing = inside.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "web", words="A")
    assert passing("b") == "B"  # not the words
    threads = [threading.Thread(target=passing, args=("a",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    hit = armed.wait(5)
    until(lambda: sum(thread.is_alive() for thread in threads) == 1)
    assert (hit.process, "'A'" in hit.told) == ("web", True)
    hit.release()
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_who_has_read_half_of_an_order_that_another_one_takes_reads_the_same_to_its_end(tmp_path):
    passing = inside.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "web", then="fail")
    with armed.file.open() as reader:
        with pytest.raises(ConnectionError):
            passing("a")
        assert json.load(reader) == {"words": "", "then": "fail"}


def test_a_process_started_with_failpoints_hits_one_in_a_module_that_it_imports(tmp_path):
    code = "from backroom.runtime import publisher; publisher.publish(['orders.make_invoice'])"
    env = failpoints.environment(
        tmp_path, {"SUPERVISOR_PROCESS_NAME": "web", "DJANGO_SETTINGS_MODULE": "shop.settings"}
    )
    armed = failpoints.Failpoints(tmp_path).arm("after commit B", "web", then="exit")
    assert subprocess.run([sys.executable, "-c", code], env=env, cwd=CHECKOUT).returncode == 1
    assert armed.wait(0).process == "web"


def test_nobody_hits_a_point_of_another_process(tmp_path):
    passing = inside.Failpoints(tmp_path, "web").wrap(str.upper, "here", points.Point("-", after=True))
    armed = failpoints.Failpoints(tmp_path).arm("here", "beat")
    assert passing("a") == "A"
    with pytest.raises(failpoints.NotHit):
        armed.wait(0)


def test_the_rooms_of_the_shop_know_nothing_of_failpoints():
    files = [file for room in ROOMS for file in Path(CHECKOUT, room).rglob("*.py")]
    assert files
    assert [str(file) for file in files if "failpoint" in file.read_text().lower()] == []
