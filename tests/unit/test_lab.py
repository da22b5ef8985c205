"""The lab can't be had where it does not belong, and does one thing at a time."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import Resolver404, resolve

from lab import processes as house
from lab.experiments import ALL
from lab.state_files import Board, Busy
from stack import demo, environment, ports

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["lab.settings", "lab.faults.naive.settings"])
def test_its_settings_do_not_load_without_debug(module):
    env = {**os.environ, "DEBUG": "false"}
    done = subprocess.run([sys.executable, "-c", f"import {module}"], env=env, capture_output=True, text=True)
    assert "never runs without DEBUG" in done.stderr.splitlines()[-1]


def test_other_settings_can_not_install_it(settings):
    settings.DEBUG = True
    installed = override_settings(INSTALLED_APPS=["lab", *settings.INSTALLED_APPS])
    with pytest.raises(ImproperlyConfigured, match="for the demo"):
        installed.enable()


def test_the_shops_own_settings_know_no_such_address(settings):
    assert (settings.ROOT_URLCONF, "lab" in settings.INSTALLED_APPS) == ("shop.urls", False)
    with pytest.raises(Resolver404):
        resolve("/lab/")


def test_the_image_does_not_hold_it():
    let_in = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert let_in[1] == "*"
    assert "!lab" not in let_in


@pytest.mark.parametrize(
    "given",
    [
        {"BROKER_URL": "redis://broker/0"},
        {"DATABASE_URL": "postgres://db/shop"},
        {"EMAIL_URL": "smtp://mail:25"},
        {"DEBUG": "false"},
    ],
)
def test_a_demo_with_somebody_elses_server_or_without_debug_has_no_lab(given):
    assert demo.has_lab({})
    assert not demo.has_lab(given)


@pytest.fixture
def table(tmp_path):
    return {process.name: process for process in house.demo(environment.build(tmp_path, ports.DEFAULTS))}


def test_the_naive_shop_and_second_beats_stand_by_and_the_lab_is_stopped_first(table):
    standing_by = {name for name, process in table.items() if process.standby}
    assert standing_by == {*house.NAIVE, *house.SECOND.values()}
    assert {name for name, process in table.items() if process.stage == max(p.stage for p in table.values())} == {"lab"}


def test_each_process_of_the_naive_shop_has_its_settings_and_the_others_have_the_labs(table):
    for name, process in table.items():
        wanted = "lab.faults.naive.settings" if name.startswith("naive-") else "lab.settings"
        assert f"DJANGO_SETTINGS_MODULE={wanted}" in process.command, name


def test_of_many_who_press_at_once_one_is_first(tmp_path):
    board = Board(tmp_path)

    def press(number: int) -> str:
        try:
            board.wish(str(number))
        except Busy as busy:
            return str(busy)
        return "first"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(press, range(40)))
    assert told.count("first") == 1
    assert set(told) - {"first"} == {board.wished()}
    board.done()
    board.wish("the next one")
    assert board.wished() == "the next one"


def test_what_is_told_is_told_to_the_owner_only(tmp_path):
    board = Board(tmp_path)
    board.tell({"variant": "ledgered"})
    assert board.told() == {"variant": "ledgered"}
    assert (board.folder.stat().st_mode & 0o777, board.file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_each_experiment_names_code_that_is_there_and_a_thread_about_its_pitfall():
    assert 8 <= len(ALL) <= 12
    assert len({experiment.slug for experiment in ALL}) == len(ALL)
    for experiment in ALL:
        assert (CHECKOUT / experiment.code).is_file()
        assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", experiment.issue[0])
        assert experiment.longest <= 90
