"""A broker as servers that a test can kill, freeze, empty and start again; stack/brokers.py makes each kind."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis

from stack import Problem, environment, ports, servers
from stack.ports import HOST

SET = "backroom"  # Sentinel's name of primary and replica


class Missing(Problem):
    """A program that a broker needs is not installed."""

    def __init__(self, program: str, package: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed: it is in {package}")


@dataclass(frozen=True)
class Server:
    """A process. Without `data` it starts as new."""

    name: str
    command: list[str]
    ready: Callable[[], bool]
    data: Path | None = None


@dataclass(frozen=True)
class Broker:
    """`servers` in the order of their start, `holders` the names of those that hold messages, `env` for the shop.

    `admin`: the address for an account that may empty it, where the shop's may not. `sentinels`: their ports, and
    `primary_port` that of the server which is the primary at first.
    """

    name: str
    servers: list[Server]
    holders: tuple[str, ...]
    env: dict[str, str]
    admin: str = ""
    sentinels: tuple[int, ...] = ()
    primary_port: int = 0

    def server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)

    def primary(self) -> Server:
        """The server that takes messages now. Raises redis.RedisError."""
        if not self.sentinels:
            return self.server(self.holders[0])
        with redis.Redis(HOST, self.sentinels[0]) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SET)
        return self.server(self.holders[0 if int(port) == self.primary_port else 1])

    def fail_over(self) -> None:
        """Order it: the old primary answers READONLY from then on. Raises redis.RedisError."""
        with redis.Redis(HOST, self.sentinels[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", SET)


def valkey_server(folder: Path, port: int, name: str = "valkey", program: str = "", more: Sequence[str] = ()) -> Server:
    """The wheel's server, or a `program` that reads the same file, with `more` lines in it."""
    servers.prepare_valkey(folder, port)
    with (folder / "valkey.conf").open("a") as file:
        file.writelines(f"{line}\n" for line in more)
    answers = partial(servers.broker_answers, environment.broker_url(folder, port))
    return Server(name, servers.valkey_command(folder, program), answers, folder / "valkey" / "appendonlydir")


def free_port() -> int:
    return ports.free(["port"])["port"]


def program(name: str, package: str) -> str:
    """The path of a program. Raises Missing."""
    if not (found := shutil.which(name)):
        raise Missing(Path(name).name, package)
    return found


def command(*words: str) -> list[str]:
    """A command line that dies with its parent, without secrets in its environment."""
    return [*servers.DIE_WITH_PARENT, "TERM", *environment.keeping(), *words]
