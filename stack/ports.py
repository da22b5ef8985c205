"""The demo's ports, each from an environment variable, and checked before anything starts."""

import itertools
import os
import socket
from collections.abc import Iterable, Mapping

from stack import Problem

HOST = "127.0.0.1"
DEFAULTS = {
    "WEB_PORT": 8000,
    "FLOWER_PORT": 5555,
    "PARTNERS_PORT": 8100,
    "MAIL_PORT": 8025,
    "SMTP_PORT": 1025,
    "BROKER_PORT": 6390,
    "DATABASE_PORT": 5433,
}
# Race: Linux gives ports from 32768 on to outgoing connections, so one of them could take a port that was free.
FREE = range(20_000, 32_768)
# Each process begins elsewhere, and goes on: two that choose at the same moment choose different ports.
_places = itertools.count(os.getpid() * 199)


class PortError(Problem):
    """A port that can't be used. The text names the variable to set."""


def chosen(environ: Mapping[str, str]) -> dict[str, int]:
    """The port of each variable, from the environment or by default. Raises PortError."""
    ports = {name: _number(name, environ.get(name) or str(default)) for name, default in DEFAULTS.items()}
    owners: dict[int, str] = {}
    for name, port in ports.items():
        if port in owners:
            raise PortError(f"{owners[port]} and {name} are both {port}: set one of them to another port")
        owners[port] = name
    return ports


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 65535):
        raise PortError(f"{name} is {value!r}: set it to a port number from 1 to 65535")
    return int(value)


def check_free(ports: Mapping[str, int], command: str = "make demo") -> None:
    """Raises PortError for the first port that is taken, and suggests a free one."""
    for name, port in ports.items():
        try:
            _bind(port).close()
        except PermissionError:
            raise PortError(f"{name} {port} needs root: set {name} to a port over 1023") from None
        except OSError:
            other = _free_after(port, set(ports.values()))
            raise PortError(
                f"{name} {port} is taken: set {name} to a free one, e.g. {name}={other} {command}"
            ) from None


def free(names: Iterable[str] = tuple(DEFAULTS)) -> dict[str, int]:
    """A free port for each name, no two the same. Another process may take it before its server starts."""
    candidates = (FREE[place % len(FREE)] for place in _places)
    return {name: next(port for port in candidates if _is_free(port)) for name in names}


def _is_free(port: int) -> bool:
    try:
        _bind(port).close()
    except OSError:
        return False
    return True


def _bind(port: int) -> socket.socket:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As the servers do. Otherwise connections in TIME_WAIT from the last run look like a taken port.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
    except OSError:
        held.close()
        raise
    return held


def _free_after(port: int, taken: set[int]) -> int:
    later = (port for port in range(port + 1, 65536) if port not in taken and _is_free(port))
    return next(later, None) or free(["any"])["any"]
