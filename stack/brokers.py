"""Each broker that the library runs on, of wheels and of Debian's packages, with data in a folder.

RabbitMQ is a node of its own with an epmd of its own, so it neither sees nor disturbs one of the machine. moto stands
in for SQS and keeps all in its memory. Sentinel is a primary, a replica and three sentinels. Beside RabbitMQ and SQS
stands a Valkey, for breakers, rates and limits.
"""

import contextlib
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import amqp
import redis

from stack import environment, ports, readiness, servers
from stack.broker import SET, Broker, Missing, Server, command, free_port, program, valkey_server
from stack.ports import HOST

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's one in PATH changes to another account
# It makes the account and the virtual host at its first start, and after a loss of its data.
RABBITMQ_CONF = """\
listeners.tcp.1 = {host}:{port}
default_vhost = backroom
default_user = {user}
default_pass = {password}
"""
# Nothing of a machine's own node is read.
RABBITMQ_ENV = """\
HOME={folder} RABBITMQ_NODENAME=backroom-{port}@localhost RABBITMQ_DIST_PORT={dist} ERL_EPMD_PORT={epmd}
ERL_EPMD_ADDRESS={host} RABBITMQ_CONFIG_FILE={folder}/rabbitmq.conf RABBITMQ_CONF_ENV_FILE={folder}/none
RABBITMQ_MNESIA_BASE={folder}/mnesia RABBITMQ_LOG_BASE={folder}/log RABBITMQ_LOGS=-
RABBITMQ_GENERATED_CONFIG_DIR={folder}/config RABBITMQ_ENABLED_PLUGINS_FILE={folder}/plugins"""
QUIET = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none"  # idle schedulers do not spin
SENTINEL_CONF = """\
bind {host}
port {port}
dir "{folder}"
sentinel monitor {set} {host} {primary} 2
sentinel auth-pass {set} {password}
sentinel down-after-milliseconds {set} 2000
sentinel failover-timeout {set} 10000
"""


def valkey(folder: Path, port: int) -> Broker:
    return of_one("valkey", valkey_server(folder, port), folder, port)


def debian_redis(folder: Path, port: int) -> Broker:
    server = valkey_server(folder, port, "redis", program=program("redis-server", "redis-server"))
    return of_one("redis", server, folder, port)


def of_one(name: str, server: Server, folder: Path, port: int) -> Broker:
    url, admin = addresses(folder, port)
    return Broker(name, [server], (name,), {"BROKER_URL": url}, admin)


def addresses(folder: Path, port: int) -> tuple[str, str]:
    """For the shop's account, and for the administrator's."""
    return environment.broker_url(folder, port), environment.broker_url(folder, port, administrator=True)


def rabbitmq(folder: Path, port: int) -> Broker:
    node, epmd = program(RABBITMQ, "rabbitmq-server"), program("epmd", "rabbitmq-server")
    beside, numbers = free_port(), {"port": port, **ports.free(["dist", "epmd"])}
    user, password = environment.SHOP, environment.secret(folder, "broker")
    text = RABBITMQ_CONF.format(host=HOST, **numbers, user=user, password=password)
    environment.private_file(folder / "rabbitmq.conf", text)
    env = [*RABBITMQ_ENV.format(folder=folder, host=HOST, **numbers).split(), QUIET]
    names = command(epmd, "-address", HOST, "-port", str(numbers["epmd"]))
    address = f"{HOST}:{port}"
    answers = partial(amqp_answers, address, user, password)
    started = [
        valkey_server(folder, beside),
        Server("epmd", names, partial(listens, numbers["epmd"])),
        Server("rabbitmq", command("env", *env, node), answers, folder / "mnesia"),
    ]
    found = {
        "BROKER_URL": f"amqp://{user}:{password}@{address}/backroom",
        "REDIS_URL": environment.broker_url(folder, beside),
    }
    return Broker("rabbitmq", started, ("rabbitmq",), found)


def sqs(folder: Path, port: int) -> Broker:
    if not find_spec("moto"):
        raise Missing("moto", "requirements-dev.txt")
    beside = free_port()
    moto = command(sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port))
    answers = partial(readiness.http_ok, f"http://{HOST}:{port}/moto-api/")
    found = {
        "BROKER_URL": f"sqs://backroom:none@{HOST}:{port}/",
        "REDIS_URL": environment.broker_url(folder, beside),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return Broker("sqs", [valkey_server(folder, beside), Server("sqs", moto, answers)], ("sqs",), found)


def sentinel(folder: Path, port: int) -> Broker:
    password = environment.secret(environment.private_folder(folder / "primary"), "broker_admin")
    account = ["masteruser default", f"masterauth {password}"]  # of a replica, which each of the two may be
    primary = valkey_server(folder / "primary", port, "primary", more=account)
    shutil.copytree(folder / "primary" / "secrets", folder / "replica" / "secrets", dirs_exist_ok=True)
    follow = [*account, f"replicaof {HOST} {port}"]
    replica = valkey_server(folder / "replica", free_port(), "replica", more=follow)
    binary = servers.valkey_binary()
    numbers = ports.free(["sentinel1", "sentinel2", "sentinel3"])
    watching = []
    for name, own in numbers.items():
        text = SENTINEL_CONF.format(host=HOST, port=own, folder=folder, set=SET, primary=port, password=password)
        file = environment.private_file(folder / f"{name}.conf", text)  # it writes into it
        watching.append(Server(name, command(binary, str(file), "--sentinel"), partial(knows_the_replica, own)))
    url, admin = (of_sentinels(each, numbers.values()) for each in addresses(folder / "primary", port))
    env, each = {"BROKER_URL": url, "BROKER_MASTER": SET}, [primary, replica, *watching]
    return Broker("sentinel", each, ("primary", "replica"), env, admin, tuple(numbers.values()), port)


MAKERS: dict[str, Callable[[Path, int], Broker]] = {
    "valkey": valkey,
    "redis": debian_redis,
    "rabbitmq": rabbitmq,
    "sqs": sqs,
    "sentinel": sentinel,
}


def prepare(name: str, folder: Path, port: int = 0) -> Broker:
    """Write the configuration into the folder, for this port or free ones. Raises Missing."""
    return MAKERS[name](environment.private_folder(folder.resolve()), port or free_port())


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run a broker during the block; it dies with this process. Raises Missing, and Problem.

    Yields the environment for the shop's processes, BROKER_PIDS of the servers that hold messages, and
    BROKER_ADMIN_URL, for the account that may empty it.
    """
    broker = prepare(name, folder)
    logs = environment.private_folder(folder / "log")
    pids = {}
    with contextlib.ExitStack() as stack:
        for each in broker.servers:
            log = logs / f"{each.name}.log"
            process = servers.process(each.command, log, stop=signal.SIGTERM, ready=each.ready)
            pids[each.name] = str(stack.enter_context(process).pid)
        found = {"BROKER_PIDS": ",".join(pids[name] for name in broker.holders)}
        yield {**broker.env, **found, "BROKER_ADMIN_URL": broker.admin or broker.env["BROKER_URL"]}


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True


def amqp_answers(host: str, user: str, password: str) -> bool:
    """Whether it takes a connection to the virtual host."""
    try:
        with amqp.Connection(host, user, password, virtual_host="backroom", connect_timeout=2) as connection:
            return bool(connection.connected)
    except (OSError, amqp.AMQPError):
        return False


def knows_the_replica(port: int) -> bool:
    """Whether this sentinel has found the replica, as a failover needs it."""
    with redis.Redis(HOST, port, socket_timeout=2) as one:
        try:
            return one.sentinel_master(SET)["num-slaves"] >= 1
        except redis.RedisError:
            return False


def of_sentinels(url: str, numbers: Iterable[int]) -> str:
    """The address of a Redis as that of its sentinels, in kombu's form."""
    account = url.removeprefix("redis://").partition("@")[0]
    return ";".join(f"sentinel://{account}@{HOST}:{number}/0" for number in numbers)
