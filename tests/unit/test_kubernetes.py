"""deploy/kubernetes runs the containers of docker-compose.yml, as safe and as patient. No test has a cluster."""

import shlex

import pytest
import yaml
from celery import current_app

from stack import processes
from tests import manifests
from tests.manifests import CHECKOUT, DEPLOYMENTS, LABELS, MAIN, PODS

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
INSIDE = {"WEB_PORT": "8000", "FLOWER_PORT": "5555", "BACKROOM_VAR": "/data"}
STACK = {process.name: process for process in processes.shop(INSIDE) if process.name != "partners"}
PROBED = [name for name in STACK if name not in ("web", "flower")]
SECRETS = {"owner": {"migrate"}, "web": {"web"}, "flower": {"flower"}, "shop": {*PROBED, "web", "migrate"}}


@pytest.mark.parametrize("name", [*STACK, "migrate"])
def test_a_pod_runs_the_command_of_its_container(name):
    command = SERVICES[name]["command"]
    assert MAIN[name]["command"] == (shlex.split(command) if isinstance(command, str) else command)
    assert MAIN[name]["image"] == "backroom"  # the example names the registry


@pytest.mark.parametrize("name", STACK)
def test_a_pod_gets_the_grace_of_the_demo_after_its_hook(name):
    hook = MAIN[name].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["0"])
    assert PODS[name]["terminationGracePeriodSeconds"] == STACK[name].grace + int(hook[-1])
    if name.startswith("worker-"):
        assert STACK[name].grace == int(manifests.SETTINGS["WORKER_GRACE"]) > current_app.conf.task_time_limit


@pytest.mark.parametrize("name", PROBED)
def test_a_pod_without_pages_is_probed_as_its_container_and_not_restarted_for_the_database(name):
    health, start, life = SERVICES[name]["healthcheck"], MAIN[name]["startupProbe"], MAIN[name]["livenessProbe"]
    command = ["sh", "-c", f"{shlex.join(health['test'][1:])} || [ $? = 2 ]"]
    assert start["exec"]["command"] == life["exec"]["command"] == command
    assert (f"{life['periodSeconds']}s", life["failureThreshold"]) == (health["interval"], health["retries"])
    assert f"{start['periodSeconds'] * start['failureThreshold']}s" == health["start_period"]
    assert "readinessProbe" not in MAIN[name]  # no Service sends it anything


@pytest.mark.parametrize("name", ["web", "proxy", "flower"])
def test_a_pod_with_pages_is_probed_by_http_and_reached_by_its_service(name):
    probes = {key: probe.get("httpGet", {}).get("path") for key, probe in MAIN[name].items() if key.endswith("Probe")}
    paths = {path for path in probes.values() if path}
    assert paths == {"web": {"/healthz", "/readyz"}, "proxy": {"/healthz"}, "flower": {"/healthcheck"}}[name]
    assert probes["livenessProbe"] != "/readyz"  # it would restart the web with the database
    service = manifests.kind("Service")[name]["spec"]
    assert service["selector"].items() <= LABELS[name].items()
    assert [port["targetPort"] for port in service["ports"]] == [port["name"] for port in MAIN[name]["ports"]]


@pytest.mark.parametrize("name", [*PROBED, "web"])
def test_a_pod_starts_only_after_the_migrations(name):
    (first,) = PODS[name]["initContainers"]
    assert first["command"] == ["sh", "-c", "until python manage.py migrate --check; do sleep 2; done"]
    assert first["envFrom"] == MAIN[name]["envFrom"][:2]


def test_a_rollout_leaves_no_queue_without_a_worker_and_never_runs_two_beats():
    one = [name for name in DEPLOYMENTS if DEPLOYMENTS[name]["spec"]["strategy"] == {"type": "Recreate"}]
    assert set(one) == {"beat", "flower"}
    for name in DEPLOYMENTS.keys() - one:
        assert DEPLOYMENTS[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_each_deployment_finds_its_own_pods_and_a_drain_ends_one_at_a_time():
    budgets = manifests.kind("PodDisruptionBudget")
    assert budgets.keys() == DEPLOYMENTS.keys() - {"beat", "flower"}
    for name in DEPLOYMENTS:
        selector = {"matchLabels": {"app.kubernetes.io/component": name}}
        assert DEPLOYMENTS[name]["spec"]["selector"] == selector
        assert selector["matchLabels"].items() <= LABELS[name].items()
        assert name not in budgets or budgets[name]["spec"]["selector"] == selector
        assert name not in budgets or budgets[name]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_not_root_has_no_capabilities_and_is_read_only(name):
    pod, user = PODS[name], 101 if name == "proxy" else 10001
    assert f"USER {user}:{user}" in (CHECKOUT / "Dockerfile").read_text() or SERVICES[name]["user"] == f"{user}:{user}"
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (user, True)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    # A Service's FLOWER_PORT=tcp://… would be an option of Flower.
    assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize("queue", processes.QUEUES)
def test_a_worker_yields_as_its_container_does(queue):
    ours, service = MAIN[f"worker-{queue}"]["resources"], SERVICES[f"worker-{queue}"]
    full = int(MAIN["worker-critical"]["resources"]["requests"]["cpu"].removesuffix("m"))
    share = int(ours["requests"]["cpu"].removesuffix("m")) / full
    assert share == pytest.approx(service.get("cpu_shares", 1024) / 1024, abs=0.01)
    assert "mem_limit" not in service or ours["limits"]["memory"] == service["mem_limit"].replace("g", "Gi")


@pytest.mark.parametrize("name", sorted(PODS.keys() - {"migrate", "flower"}))
def test_pods_of_one_kind_are_spread_over_the_nodes(name):
    (spread,) = PODS[name]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert set(spread["matchLabelKeys"]) <= LABELS[name].keys()


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_in_the_networks_of_its_container(name):
    prefix = "network.backroom/"
    assert {label.removeprefix(prefix) for label in LABELS[name] if label.startswith(prefix)} == set(
        SERVICES[name]["networks"]
    )


def test_each_network_is_a_policy_and_a_pod_reaches_nothing_else():
    policies = manifests.kind("NetworkPolicy")
    rest = policies.pop("nothing-else")["spec"]
    assert (rest["podSelector"], sorted(rest["policyTypes"]), "ingress" in rest) == ({}, ["Egress", "Ingress"], False)
    assert policies.pop("ingress")["spec"]["podSelector"]["matchLabels"].items() <= LABELS["proxy"].items()
    assert policies.keys() == COMPOSE["networks"].keys()
    for name, policy in policies.items():
        assert policy["spec"]["podSelector"] == {"matchLabels": {f"network.backroom/{name}": "member"}}


def test_a_pod_gets_only_the_secrets_that_it_needs():
    sources = {name: [next(iter(each.values()))["name"] for each in MAIN[name].get("envFrom", [])] for name in PODS}
    assert {secret: {name for name in sources if secret in sources[name]} for secret in SECRETS} == SECRETS
    assert sources["migrate"][-1] == "owner"  # the last one wins: DATABASE_URL
