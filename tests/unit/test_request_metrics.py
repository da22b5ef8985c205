"""The files in which the web's processes count."""

import subprocess
import sys
from pathlib import Path

from prometheus_client.multiprocess import MultiProcessCollector

from shop import request_metrics

# Counts the given number of requests and dies without cleaning up.
PROCESS = """
import os, signal, sys
from types import SimpleNamespace
from pathlib import Path
from shop import request_metrics
request_metrics.settings = SimpleNamespace(METRICS_DIR=Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    request_metrics.observe("api/orders", "POST", 201, 0.03)
print("counted", flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def process(folder: Path, requests: int) -> subprocess.Popen:
    command = [sys.executable, "-c", PROCESS, str(folder), str(requests)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "counted\n"
    return started


def kill(started: subprocess.Popen) -> None:
    started.stdin.close()
    started.wait()


def counted(folder: Path) -> float:
    metrics = MultiProcessCollector(None, str(folder)).collect()
    return sum(sample.value for metric in metrics for sample in metric.samples if sample.name.endswith("_count"))


def test_what_processes_counted_outlives_them_and_is_counted_on_in_as_many_files_as_ran_at_once(tmp_path):
    first, second = process(tmp_path, 3), process(tmp_path, 4)
    assert counted(tmp_path) == 7
    kill(first)
    assert counted(tmp_path) == 7
    third = process(tmp_path, 5)
    assert counted(tmp_path) == 12
    kill(second)
    kill(third)
    kill(process(tmp_path, 1))
    assert counted(tmp_path) == 13
    assert sorted(file.name for file in tmp_path.glob("histogram_*.db")) == ["histogram_0.db", "histogram_1.db"]


def test_a_file_has_room_for_all_routes_before_the_first_count(tmp_path):
    """So that no process is killed for a write that a full disk has no room for."""
    assert request_metrics.take(tmp_path) == 0
    for file in tmp_path / "histogram_0.db", tmp_path / "counter_0.db":
        assert file.stat().st_size == file.stat().st_blocks * 512 == request_metrics.SIZE
