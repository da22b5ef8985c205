"""The order, signals and grace periods in supervisord.conf, which let a stop lose nothing."""

import configparser
import shlex
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings

from stack import Problem, environment, ports, processes, supervisor


@pytest.fixture
def var(tmp_path):
    return tmp_path / "100% of my shops"


@pytest.fixture
def table(var):
    env = environment.build(var, ports.DEFAULTS)
    return [processes.postgres(var, 5433), processes.valkey(var), *processes.shop(env)]


@pytest.fixture
def programs(var, table):
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(supervisor.config(var / "supervisor.sock", table))
    return {name.removeprefix("program:"): parser[name] for name in parser.sections() if name.startswith("program:")}


def test_a_worker_is_granted_more_than_the_hard_time_limit_of_its_jobs(programs):
    for queue in processes.QUEUES:
        assert programs[f"worker-{queue}"].getint("stopwaitsecs") > current_app.conf.task_time_limit


def test_a_worker_knows_the_grace_that_it_is_granted(var):
    assert processes.WORKER_GRACE == settings.BACKROOM_WORKER_GRACE  # both have the same default
    env = environment.build(var, ports.DEFAULTS, {"WORKER_GRACE": "30"})
    assert env["WORKER_GRACE"] == "30"
    assert {process.grace for process in processes.shop(env) if process.name.startswith("worker-")} == {30}


def test_a_grace_that_is_no_number_is_refused_in_one_line(var):
    with pytest.raises(Problem, match="WORKER_GRACE"):
        processes.shop(environment.build(var, ports.DEFAULTS, {"WORKER_GRACE": "a while"}))


def test_there_is_a_worker_for_each_queue():
    assert set(processes.QUEUES) == {queue.name for queue in settings.CELERY_TASK_QUEUES}


def test_a_stop_signal_goes_to_the_worker_and_not_to_the_pool_that_runs_its_jobs(programs):
    assert not [name for name, program in programs.items() if "stopasgroup" in program]


def test_servers_stop_after_the_processes_that_use_them(programs):
    last = max(programs[name].getint("priority") for name in ("postgres", "valkey"))
    shop = [program for name, program in programs.items() if name not in ("postgres", "valkey")]
    assert min(program.getint("priority") for program in shop) > last


def test_postgres_is_stopped_without_waiting_for_its_clients(programs):
    assert programs["postgres"]["stopsignal"] == "INT"


def test_a_process_that_dies_is_restarted(programs):
    assert {program["autorestart"] for program in programs.values()} == {"true"}


def test_paths_with_spaces_and_percent_signs_reach_the_process_as_they_are(programs, var, table):
    assert shlex.split(programs["postgres"]["command"]) == table[0].command


def test_the_shop_has_every_process(tmp_path):
    env = environment.build(Path(tmp_path), ports.DEFAULTS)
    workers = "worker-critical worker-default worker-bulk worker-media worker-webhooks"
    names = f"partners web {workers} dispatcher beat watcher flower"
    assert [process.name for process in processes.shop(env)] == names.split()
