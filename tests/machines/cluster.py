"""A shop on several machines: each process in the namespace of its machine, all under one supervisord outside."""

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from lab.faults.stack import descendants, send
from stack import Problem, environment, ports, processes, readiness, servers
from stack.broker import Broker, Server
from stack.ports import HOST
from stack.processes import Process
from stack.supervisor import Supervisor
from tests.chaos import cluster
from tests.machines.network import OUTSIDE, Network

QUEUES = ("critical", "default", "bulk")
MACHINES = {
    "web": ("web",),
    "worker-a": tuple(f"worker-{queue}" for queue in QUEUES),
    "worker-b": tuple(f"worker-{queue}-2" for queue in QUEUES),
    "dispatcher-a": ("dispatcher", "beat"),
    "dispatcher-b": ("dispatcher-2", "beat-2"),
    "broker": ("valkey",),
    "database": ("postgres",),
    "partners": ("partners",),
}
SERVER = {  # of each address in the environment
    "DATABASE_URL": "database", "READER_DATABASE_URL": "database", "BROKER_URL": "broker", "SITE_URL": "web",
    "PARTNERS_URL": "partners", "EMAIL_URL": "partners", "INBOX_URL": "partners", "WEBHOOK_ALLOW": "partners",
}  # fmt: skip
CLOCKED = ("web", "worker-a", "dispatcher-a")  # machines whose clock a row may set
# Only the time of day: durations, and the times of files, are right on a machine whose clock is wrong. The library
# reads its file once a second. Its variant for threads has a lock that a fork leaves locked in the child.
FAKED = (
    *("FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", "FAKETIME_DISABLE_SHM=1", "FAKETIME_CACHE_DURATION=1"),
    f"PYTHONPATH={Path(__file__).with_name('clock')}",
)


class Machines(cluster.Cluster):
    """The cluster, its network and its clocks."""

    def __init__(self, supervisor: Supervisor, broker: Broker, network: Network) -> None:
        super().__init__(supervisor, cluster.LEDGERED, broker)
        self.network = network
        administrator = environment.database_url(self.var, self.env["DATABASE_PORT"], environment.SUPERUSER)
        address = administrator.replace(HOST, network.addresses["database"])
        self.checks["postgres"] = partial(servers.create_database, address)

    def heal(self) -> None:
        """Mend all links, set all clocks right, and end the partners' faults."""
        self.network.heal()
        for machine in CLOCKED:
            self.set_clock(machine, 0)
        super().heal()

    def set_clock(self, machine: str, seconds: int) -> None:
        """Let a machine's clock be ahead by these seconds, from the next second on."""
        set_clock(self.var, machine, seconds)


@contextlib.contextmanager
def running(var: Path) -> Iterator[Machines]:
    """A cluster during the block."""
    numbers = ports.free()
    with servers.running(var, numbers) as env:  # still on one machine
        cluster.prepare(env)
    with Network(MACHINES) as network, environment.locked(var):
        placed = place(var, env, network)
        broker = valkey(var, placed)
        embedded = [processes.postgres(var, numbers["DATABASE_PORT"]), *map(cluster.as_process, broker.servers)]
        own = [*embedded, *cluster.with_second_ones(processes.shop(placed))]
        here = [on_its_machine(var, process, network) for process in own]
        supervisor = Supervisor(var, [process for process in here if process], os.environ | placed)
        try:
            readiness.until_answering(supervisor)
            machines = Machines(supervisor, broker, network)
            machines.start_servers()
            machines.start("partners", *cluster.ALWAYS)
            yield machines
        finally:
            send(signal.SIGKILL, descendants(supervisor.child.pid))
            supervisor.close()


def place(var: Path, env: dict[str, str], network: Network) -> dict[str, str]:
    """The environment, with each address that of its machine. The servers take connections of all machines."""
    addresses = network.addresses
    env = env | {name: env[name].replace(HOST, addresses[machine]) for name, machine in SERVER.items()}
    env |= {"ALLOWED_HOSTS": addresses["web"], "PARTNERS_HOST": addresses["partners"], "LOG_FORMAT": "json"}
    environment.write(var, env)
    with (var / "postgres" / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {addresses[OUTSIDE]}/24 scram-sha-256\n")
    valkey = var / "valkey.conf"
    valkey.write_text(valkey.read_text().replace(f"bind {HOST}", f"bind {addresses['broker']}"))
    (var / "failpoints").mkdir(exist_ok=True)
    for machine in MACHINES:
        environment.private_file(entry(var, machine), entry_script(var, network, machine))
    for machine in CLOCKED:
        set_clock(var, machine, 0)
    return env


def valkey(var: Path, env: dict[str, str]) -> Broker:
    """On its machine, and its administrator's address there."""
    url = environment.broker_url(var, env["BROKER_PORT"], administrator=True)
    address = urlsplit(env["BROKER_URL"]).hostname or HOST
    server = Server("valkey", servers.valkey_command(var), partial(servers.broker_answers, env["BROKER_URL"]))
    return Broker("valkey", [server], ("valkey",), {}, url.replace(HOST, address))


def on_its_machine(var: Path, process: Process, network: Network) -> Process | None:
    """None for a process that no machine has."""
    machine = next((machine for machine, names in MACHINES.items() if process.name in names), None)
    if not machine:
        return None
    command = [part.replace(HOST, network.addresses[machine]) for part in process.command]
    return replace(process, command=["sh", str(entry(var, machine)), *command])


def entry(var: Path, machine: str) -> Path:
    return var / f"enter-{machine}.sh"


def entry_script(var: Path, network: Network, machine: str) -> str:
    """By which each process of a machine starts."""
    file = f"FAKETIME_TIMESTAMP_FILE={clock(var, machine)}"
    faked = ["env", *FAKED, file, f"LD_PRELOAD={clock_library()}"] if machine in CLOCKED else []
    return f'exec {shlex.join([*network.entry(machine), *faked])} "$@"\n'


def clock(var: Path, machine: str) -> Path:
    return var / f"clock-{machine}"


def set_clock(var: Path, machine: str, seconds: int) -> None:
    environment.private_file(clock(var, machine), f"{seconds:+d}s\n")


def clock_library() -> str:
    """The path of libfaketime. Raises Problem."""
    if found := next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None):
        return str(found)
    raise Problem("libfaketime is not here; .ci/nightly installs it")
