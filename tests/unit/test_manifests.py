"""deploy/kubernetes is valid by the schema of Kubernetes, kustomize builds it, and its settings are whole."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from backroom.ops import metrics
from stack import processes
from tests import manifests
from tests.manifests import CHECKOUT, DEPLOYMENTS, MAIN, RESOURCES

SERVICES = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
OLDEST = "1.29"  # of the versions of Kubernetes whose schema fits
SECRETS = CHECKOUT / "deploy/secrets.sh"
# KEDA's own schema is not at hand: these are the fields that we use, of its documentation.
TRIGGER = ["ignoreNullValues", "query", "serverAddress", "threshold"]
SCALED = {
    "scaleTargetRef": {"required": ["name"], "properties": {"name": {"type": "string"}}},
    "minReplicaCount": {"type": "integer", "minimum": 1},  # a queue without a worker is an alert
    "maxReplicaCount": {"type": "integer", "maximum": 10},
    "pollingInterval": {"type": "integer"},
    "advanced": {"properties": {"horizontalPodAutoscalerConfig": {"required": ["behavior"]}}},
    "triggers": {"minItems": 1, "maxItems": 1, "items": {"properties": {
        "type": {"const": "prometheus"}, "metricType": {"const": "Value"},
        "metadata": {"required": TRIGGER, "maxProperties": len(TRIGGER), "additionalProperties": {"type": "string"}},
    }, "required": ["type", "metricType", "metadata"], "additionalProperties": False}},
}  # fmt: skip


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_each_resource_fits_the_schema_of_kubernetes(version):
    native = [each for each in RESOURCES if each["kind"] != "ScaledObject"]
    assert len(native) > 30
    for each in native:
        kubernetes_validate.validate(each, version, strict=True)
    wrong = {**DEPLOYMENTS["web"], "spec": {**DEPLOYMENTS["web"]["spec"], "replica": 2}}
    with pytest.raises(jsonschema.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_settings_get_each_variable_of_compose_and_accept_them(tmp_path):
    subprocess.run(["sh", SECRETS, tmp_path], check=True)
    given = manifests.SETTINGS | {each["name"]: each["value"] for each in MAIN["web"]["env"]}
    given |= manifests.variables(tmp_path / "shop.env") | manifests.variables(tmp_path / "web.env")
    found = SERVICES["web"]["environment"]
    optional = {name for name, value in found.items() if value is None or re.fullmatch(r"\$\{\w+:-\}", value)}
    demo = {"INBOX_URL", "WEBHOOK_ALLOW"}  # Mailpit's page, and the receiver
    assert found.keys() - optional - demo <= given.keys()
    env = {"PATH": "/usr/bin:/bin", "BACKROOM_VAR": str(tmp_path), **given}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level=WARNING"]
    done = subprocess.run(command, env=env, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("queue", processes.QUEUES)
def test_keda_scales_each_queue_by_the_age_of_its_oldest_job(queue):
    scaled = manifests.kind("ScaledObject")[f"worker-{queue}"]
    whole = {"required": sorted(SCALED), "additionalProperties": False, "properties": SCALED}
    jsonschema.validate(scaled["spec"], whole)
    assert scaled["spec"]["scaleTargetRef"]["name"] in DEPLOYMENTS
    assert "replicas" not in DEPLOYMENTS[f"worker-{queue}"]["spec"]  # an apply would undo KEDA's number
    (trigger,) = scaled["spec"]["triggers"]
    name, label = re.fullmatch(r'max\(backroom_(\w+)\{queue="(\w+)"\}\)', trigger["metadata"]["query"]).groups()
    assert (name, label) == ("queue_oldest_seconds", queue)
    assert f'gauge("{name}"' in Path(metrics.__file__).read_text()
    assert float(trigger["metadata"]["threshold"]) == settings.BACKROOM_QUEUE_OBJECTIVES[queue] / 2


def test_the_proxy_is_composes_without_dockers_resolver():
    assert MAIN["proxy"]["image"] == SERVICES["proxy"]["image"]
    edit = MAIN["proxy"]["command"][-1].partition("\n")[0].partition(" > ")[0]
    command = ["sh", "-c", edit.replace("/etc/backroom", str(CHECKOUT / "proxy"))]
    conf = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    composes = (CHECKOUT / "proxy/nginx.conf").read_text()
    assert conf.count("proxy_pass http://web:8000;") == composes.count("proxy_pass $web;") == 3
    assert not re.search(r"resolver |\$web", conf)
    assert len(conf.splitlines()) == len(composes.splitlines()) - 2
    ((rule,),) = [each["http"]["paths"] for each in manifests.kind("Ingress")["proxy"]["spec"]["rules"]]
    assert rule["backend"]["service"] == {"name": "proxy", "port": {"name": "http"}}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here, whose kustomize builds the example")
def test_kustomize_builds_the_same_resources(tmp_path):
    shutil.copytree(CHECKOUT / "deploy", tmp_path / "deploy")
    shutil.copytree(CHECKOUT / "proxy", tmp_path / "proxy")
    folder = tmp_path / "deploy/kubernetes/example"
    subprocess.run(["sh", SECRETS, folder / "secrets"], check=True)
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = manifests.split(done.stdout)
    secrets = {("Secret", file.stem) for file in folder.glob("*/*.env")}
    made = secrets | {("ConfigMap", "settings"), ("ConfigMap", "nginx")}
    names = {(each["kind"], re.sub(r"-[a-z0-9]{10}$", "", each["metadata"]["name"])) for each in built}
    assert names == {(each["kind"], each["metadata"]["name"]) for each in RESOURCES} | made
    for each in built:
        assert each["kind"] == "ScaledObject" or kubernetes_validate.validate(each, OLDEST, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "backroom"
    images = set(re.findall(r"image: (\S+)", done.stdout))
    assert images == {"registry.example/backroom:1.0", SERVICES["proxy"]["image"]}
