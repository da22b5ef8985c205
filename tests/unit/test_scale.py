"""The sums of docs/scale.md, and the autoscaler of its simulation."""

import pytest
import yaml

from bench import autoscaler, capacity
from bench.autoscaler import MEDIA, Autoscaler, Rule
from bench.outcome import ROOT

ORDER = {
    "jobs": 10.0, "web ms": 10.0, "workers ms": 20.0, "PostgreSQL ms": 10.0, "Valkey ms": 1.0,
    "dispatcher ms": 1.0, "Flower ms": 1.0, "wal_kb": 50.0,
    "table_bytes_a_job": 600.0, "index_bytes_a_job": 400.0, "run_ms": 50.0,
}  # fmt: skip
RULE = Rule(threshold=30, least=2, most=40)


def test_a_day_with_more_orders_needs_more_by_the_same_factor():
    few, many = capacity.needs(864_000, ORDER), capacity.needs(8_640_000, ORDER)
    assert few["orders_per_s"] == 30  # ten a second, and three times as many at the peak
    assert (few["jobs_per_s"], few["PostgreSQL"], few["wal"]) == (300, 0.3, 1.5)
    assert few["connections"] == pytest.approx(300 * 0.25 + 30 * 0.1)
    assert few["gigabytes"] == pytest.approx(864_000 * 30 * 10 * 1000 / 1e9)
    assert all(many[name] == pytest.approx(10 * few[name]) for name in few)


def test_a_limit_is_reached_at_the_orders_that_fill_it():
    for row in capacity.reached(ORDER):
        (limit,) = (each for each in capacity.LIMITS if each.what == row["what"])
        assert limit.used(capacity.needs(row["orders"], ORDER)) == pytest.approx(limit.most, rel=0.01)


def test_the_autoscaler_adds_at_most_as_many_as_run_and_stays_within_its_bounds():
    scaler = Autoscaler(RULE)
    counts = [2]
    for look in range(6):
        counts.append(scaler.workers(look * autoscaler.SYNC, counts[-1], age=600))
    assert counts == [2, 6, 12, 24, 40, 40, 40]


def test_the_autoscaler_keeps_its_workers_for_a_while_and_then_takes_one_a_minute():
    scaler = Autoscaler(RULE)
    assert scaler.workers(0, 10, age=30) == 10
    current, at, counts = 10, 0.0, {}
    while current > RULE.least:
        at += autoscaler.SYNC
        counts[at] = current = scaler.workers(at, current, age=0)
    assert [at for at in counts if counts[at] < counts.get(at - autoscaler.SYNC, 10)] == [
        autoscaler.WINDOW + minute * autoscaler.DECREASE for minute in range(8)
    ]


def test_the_simulated_rule_is_the_deployed_one():
    file = ROOT / "deploy" / "kubernetes" / "keda" / "scaledobjects.yaml"
    if not file.exists():
        pytest.skip("deploy/kubernetes is not there")
    (found,) = (
        each["spec"]
        for document in yaml.safe_load_all(file.read_text())
        for each in document["items"]
        if each["metadata"]["name"] == "worker-media"
    )
    (trigger,) = found["triggers"]
    assert Rule(float(trigger["metadata"]["threshold"]), found["minReplicaCount"], found["maxReplicaCount"]) == MEDIA
    assert trigger["metricType"] == "Value"
    down = found["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == autoscaler.WINDOW
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": autoscaler.DECREASE}]
