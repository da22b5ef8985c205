"""The lab exists in the demo only, and runs one experiment at a time."""

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

from lab import processes
from lab.excerpts import excerpt
from lab.experiments import ALL
from lab.faults import LEDGERED
from lab.faults.naive import processes as naive
from lab.state_files import Busy, StateFiles
from stack import demo, environment, ports

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", [*processes.SETTINGS.values(), *naive.SETTINGS.values()])
def test_its_settings_do_not_load_without_debug(module):
    env = {**os.environ, "DEBUG": "false"}
    done = subprocess.run([sys.executable, "-c", f"import {module}"], env=env, capture_output=True, text=True)
    assert "never runs without DEBUG" in done.stderr.splitlines()[-1]


def test_other_settings_can_not_install_it(settings):
    settings.DEBUG = True
    installed = override_settings(INSTALLED_APPS=["lab", *settings.INSTALLED_APPS])
    with pytest.raises(ImproperlyConfigured, match="for the demo"):
        installed.enable()


def test_the_shops_own_settings_have_no_such_address(settings):
    assert (settings.ROOT_URLCONF, "lab" in settings.INSTALLED_APPS) == ("shop.urls", False)
    with pytest.raises(Resolver404):
        resolve("/lab/")


def test_the_image_leaves_it_out():
    included = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert included[1] == "*"
    assert "!lab" not in included


@pytest.mark.parametrize(
    "given",
    [
        {"BROKER_URL": "redis://broker/0"},
        {"DATABASE_URL": "postgres://db/shop"},
        {"EMAIL_URL": "smtp://mail:25"},
        {"DEBUG": "false"},
    ],
)
def test_a_demo_with_an_external_server_or_without_debug_has_no_lab(given):
    assert demo.has_lab({})
    assert not demo.has_lab(given)


@pytest.fixture
def table(tmp_path):
    return {process.name: process for process in processes.demo(environment.build(tmp_path, ports.DEFAULTS))}


def test_the_shops_without_a_ledger_and_second_beats_are_on_standby_and_the_lab_stops_first(table):
    standby = {name for name, process in table.items() if process.standby}
    without = {name for shop, names in processes.USUAL.items() if shop != LEDGERED for name in names}
    assert standby == {*without, *processes.SECOND.values()}
    assert {name for name, process in table.items() if process.stage == max(p.stage for p in table.values())} == {"lab"}


def test_each_process_of_a_shop_has_its_settings_and_the_others_the_labs(table):
    for name, process in table.items():
        settings = processes.SETTINGS.get(name.partition("-")[0], "lab.settings")
        assert f"DJANGO_SETTINGS_MODULE={settings}" in process.command, name


def test_of_many_requests_at_the_same_time_one_wins(tmp_path):
    files = StateFiles(tmp_path)

    def press(number: int) -> str:
        try:
            files.submit(str(number))
        except Busy as busy:
            return str(busy)
        return "first"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(press, range(40)))
    assert answers.count("first") == 1
    assert set(answers) - {"first"} == {files.requested()}
    files.finish()
    files.submit("the next one")
    assert files.requested() == "the next one"


def test_only_the_owner_can_read_the_state(tmp_path):
    files = StateFiles(tmp_path)
    files.write({"variant": "ledgered"})
    assert files.read() == {"variant": "ledgered"}
    assert (files.folder.stat().st_mode & 0o777, files.state.stat().st_mode & 0o777) == (0o700, 0o600)


def test_each_experiment_shows_the_lines_of_both_sides_and_a_thread_about_its_pitfall():
    assert 8 <= len(ALL) <= 15
    assert len({experiment.slug for experiment in ALL}) == len(ALL)
    for experiment in ALL:
        ours, theirs = experiment.code.values()
        assert theirs.file.startswith("lab/faults/naive/")
        for one in (ours, theirs):
            lines = (CHECKOUT / one.file).read_text().splitlines()[one.first - 1 : one.last]
            assert [line.strip() for line in lines] == [line.strip() for line in one.text.splitlines()]
            assert 1 <= len(lines) <= 25
        assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", experiment.issue[0])
        assert experiment.longest <= 90


def test_an_excerpt_that_is_not_there_is_an_error():
    with pytest.raises(LookupError):
        excerpt("lab/excerpts.py:no_such_function")
