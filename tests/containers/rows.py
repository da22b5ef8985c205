"""The faults as data, and the commands that cause and end each."""

from collections.abc import Callable
from typing import NamedTuple

from tests.containers.engine import PROJECT, RUNNING, alone, compose, container, containers, docker, inside, inspect

DISPATCHERS = 2
SCALE = ("--scale", f"dispatcher={DISPATCHERS}")
KILLED, CUT = 3.0, 20.0  # seconds
DEPLOYED = (  # in the order of docs/deploying.md
    "worker-critical", "worker-default", "worker-bulk", "worker-media", "worker-webhooks", "web", "dispatcher", "beat",
    "watcher",
)  # fmt: skip

End = Callable[[], object]


class Row(NamedTuple):
    """`cause` begins the fault, and returns the function that ends it. `where`: the network that the service loses, or
    the other end of a link. `seconds`: for which it is away."""

    cause: Callable[["Row"], End]
    service: str
    where: str = ""
    seconds: float = KILLED

    @property
    def fault(self) -> str:
        return self.cause.__name__.replace("_", " ")

    @property
    def name(self) -> str:
        return " ".join(filter(None, [self.fault, self.service, self.where]))


def killed(row: Row) -> End:
    """`docker kill`, of all containers of a service. Docker takes it for a stop, and does not restart them."""
    names = containers(row.service)
    docker("kill", *names)
    return lambda: docker("start", *names)


def crashed(row: Row) -> End:
    """SIGKILL of the first process. Docker restarts the container."""
    inside("sh", "-c", f"kill -KILL {inspect(container(row.service))['State']['Pid']}")
    return lambda: None


def unplugged(row: Row) -> End:
    """`docker network disconnect`, of the first container of a service. It comes back with another address, perhaps."""
    network, name = f"{PROJECT}_{row.where}", container(row.service)
    docker("network", "disconnect", network, name)
    return lambda: docker("network", "connect", "--alias", row.service, network, name)


def link_cut(row: Row) -> End:
    """No packet passes between two containers, and neither gets an error."""
    networks = inspect(container(row.where))["NetworkSettings"]["Networks"].values()
    other, name = ",".join(each["IPAddress"] for each in networks), container(row.service)
    for chain, end in (("INPUT", "--source"), ("OUTPUT", "--destination")):
        alone(name, "iptables", "--append", chain, end, other, "--jump", "DROP")
    return lambda: alone(name, "iptables", "--flush")


def deployed(row: Row) -> End:
    """A deploy by docs/deploying.md."""
    compose("run", "--rm", "migrate")
    for service in DEPLOYED:
        scale = SCALE if service == "dispatcher" else ()
        compose("up", "--detach", "--no-deps", "--force-recreate", *scale, service)
    return lambda: None


ROWS = [
    *(Row(killed, name) for name in RUNNING),
    *(Row(crashed, name) for name in ("postgres", "redis", "web", "worker-default", "dispatcher", "partners")),
    *(Row(unplugged, name, "data", CUT) for name in ("web", "redis", "postgres", "worker-default", "dispatcher")),
    Row(unplugged, "partners", "outside", CUT),
    Row(link_cut, "web", "redis", CUT),
    Row(link_cut, "worker-default", "postgres", CUT),
    Row(deployed, "all"),
]
