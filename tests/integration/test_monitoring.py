"""The dashboard and the rules for Prometheus: each query of theirs is answered by the shop's own /metrics.

By name and label this is proved anywhere; where Prometheus is installed, it scrapes the shop, and promtool fires and
recovers each rule.
"""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from backroom.ledger.rescue import SILENCE
from backroom.ops import rollups, rules
from backroom.ops.models import QueueMinute, TaskMinute
from backroom.outbound import breaker
from shop import security_events
from stack import ports
from tests.integration.heartbeats import process, worker_beats
from tests.integration.minutes import QUEUES, finished, last_minute
from tests.integration.scraping import TOKEN, Scrape, get
from tests.integration.sick_database import away
from tests.waiting import until

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES = MONITORING / "prometheus" / "rules.yml"
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "backroom.json").read_text())
PANELS = {
    f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
FILES = [RULES, RULES.with_name("outside.yml")]
ALERTS = {
    rule["alert"]: rule["expr"]
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}
SELECTOR = re.compile(r"(backroom_\w+)(?:{([^}]*)})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")

pytestmark = pytest.mark.django_db(transaction=True)
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (apt-get install prometheus)"
)
needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="Prometheus is not installed (apt-get install prometheus)"
)


@pytest.fixture(autouse=True)
def _token(settings: LazySettings) -> None:
    settings.METRICS_TOKEN = TOKEN


def work() -> None:
    """A minute's work, counted: jobs that succeeded and one that did not, pages and a page that failed."""
    now = timezone.now()
    QueueMinute.objects.all().delete()  # the last minute once more
    TaskMinute.objects.all().delete()
    finished(3, last_minute(now))
    finished(1, last_minute(now), error="Permanent: x")
    rollups.write(QUEUES, now)
    Client().get("/")
    with away():
        Client().get("/")
    for event in "sign-in failed", "limit reached":
        security_events.record(event)


def at_work() -> None:
    """Everybody gives a sign of life."""
    for queue in QUEUES:
        worker_beats(f"{queue}@host/0123abcd", queue, [], pool=2, memory=150 * 2**20)
    for role in "dispatcher", "beat", "watcher":
        process(role)
    breaker.reset()


def test_each_query_of_the_dashboard_and_the_rules_finds_a_metric():
    at_work()
    work()
    samples: dict[str, list[dict[str, str]]] = {}
    for name, labels in Scrape().samples:
        samples.setdefault(name, []).append(dict(labels))
    for where, part in (
        (where, part) for where, query in {**PANELS, **ALERTS}.items() for part in query.split(" unless ")
    ):
        groups = {label.strip() for found in GROUPING.findall(part) for label in found.split(",")}
        for name, matchers in SELECTOR.findall(part):
            wanted = {label: value for label, _, value in MATCHER.findall(matchers)}
            matching = [
                labels
                for labels in samples.get(name, [])
                if all(re.fullmatch(value, labels.get(label, "")) for label, value in wanted.items())
            ]
            assert matching, f"{where}: {name}{matchers}"
            assert groups <= matching[0].keys(), f"{where}: {name} has no {groups - matching[0].keys()}"
    assert len(PANELS) > 25
    assert {
        label for query in PANELS.values() for label in re.findall(r"\bwithout\b|\bignoring\b|!=|!~", query)
    } == set()


def test_every_panel_names_the_provisioned_source_and_what_its_legend_shows_is_there():
    (source,) = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
            if groups := GROUPING.findall(target["expr"]):
                shown = re.findall(r"{{(\w+)}}", target["legendFormat"])
                assert set(shown) <= set(re.split(r",\s*", groups[0])), target


def test_the_rule_file_is_the_one_that_the_rules_generate_and_has_their_limits(capsys):
    call_command("prometheus_rules")
    assert capsys.readouterr().out == RULES.read_text()
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found = {rule["alert"]: rule for rule in group["rules"]}
    for rule in rules.RULES:
        theirs = found.pop("".join(word.capitalize() for word in rule.name.split("-")))
        assert theirs["for"] == f"{rule.lasting / 60:g}m", rule.name
        assert theirs["annotations"]["action"] == rule.do
        if rule.name in ("failure-rate", "dead-letters-growing", "partner-failing"):
            assert f"> {rule.over:g}" in theirs["expr"], rule.name
        elif rule.name in ("dispatcher-silent", "beat-silent", "queue-without-worker"):
            # The metric counts processes with a heartbeat within the limit.
            assert (rule.over, theirs["expr"][-4:]) == (SILENCE, "== 0")
    assert not found
    assert set(re.findall(r"\[(\w+)\]", RULES.read_text())) == {f"{rules.WINDOW // 60}m"}
    objectives = {queue: Scrape()("queue_objective_seconds", queue=queue) for queue in QUEUES}
    assert objectives == {queue: rules.BY_NAME["queue-late"].limit(queue) for queue in QUEUES}


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_metrics_and_the_rules_and_each_fires_and_recovers(tmp_path: Path):
    at_work()
    work()
    config = configuration(tmp_path, "127.0.0.1:1")
    for command, given in [
        (["check", "config", str(config)], ""),
        (["test", "rules", str(RULES.with_suffix(".test.yml"))], ""),
        (["check", "metrics"], get().content.decode()),
    ]:
        done = subprocess.run(["promtool", *command], input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    tested = yaml.safe_load(RULES.with_suffix(".test.yml").read_text())["tests"]
    cases = [case for test in tested for case in test["alert_rule_test"]]
    for fires in True, False:
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires} == ALERTS.keys()


def configuration(folder: Path, target: str) -> Path:
    """The shop's own configuration of Prometheus, with this target, and more haste."""
    config = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
    config["rule_files"] = [str(file) for file in FILES]
    (folder / "token").write_text(TOKEN)
    for scrape in config["scrape_configs"]:
        scrape["authorization"] = {"credentials_file": str(folder / "token")}
        scrape["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes this target; its address."""
    address = f"127.0.0.1:{ports.free(['PROMETHEUS_PORT'])['PROMETHEUS_PORT']}"
    command = ["prometheus", f"--config.file={configuration(folder, target)}", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'data'}"], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


def ask(address: str, query: str) -> list[float]:
    """The values that a query gives now."""
    answer = urllib3.request("POST", f"{address}/api/v1/query", fields={"query": query}, retries=False, timeout=30)
    found: dict[str, Any] = answer.json()
    assert found["status"] == "success", f"{query}\n{found}"
    return [float(series["value"][1]) for series in found["data"]["result"]]


def scraped(address: str, query: str) -> bool:
    """Whether Prometheus has this already. At first it says that it is not ready."""
    try:
        ready = urllib3.request("GET", f"{address}/-/ready", retries=False, timeout=30).status == 200
    except urllib3.exceptions.HTTPError:
        return False
    return ready and bool(ask(address, query))


def health(address: str) -> dict[str, str]:
    """How Prometheus gets on with each rule: ok, unknown, or err."""
    groups = urllib3.request("GET", f"{address}/api/v1/rules").json()["data"]["groups"]
    return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


@needs_prometheus
def test_a_real_prometheus_that_scrapes_the_shop_finds_a_value_for_every_panel_and_evaluates_every_rule(
    live_server: Any, tmp_path: Path
):
    at_work()
    work()
    with prometheus(tmp_path, live_server.url.removeprefix("http://")) as address:
        until(lambda: scraped(address, 'backroom_job_attempts_total{outcome="dead"} == 1'), what=tmp_path / "log")
        until(lambda: scraped(address, "backroom_http_request_duration_seconds_count"), what=tmp_path / "log")
        work()
        until(lambda: scraped(address, 'increase(backroom_job_attempts_total{outcome="dead"}[1m]) > 0'))
        until(lambda: scraped(address, 'increase(backroom_http_request_duration_seconds_count{status="5xx"}[1m]) > 0'))
        until(lambda: all(any(map(math.isfinite, ask(address, query))) for query in PANELS.values()))
        until(lambda: health(address) == dict.fromkeys(ALERTS, "ok"), what=health(address))
        until(lambda: ask(address, 'up{job=~"web|jobs"}') == [1, 1])
