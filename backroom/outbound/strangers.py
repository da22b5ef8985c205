"""POST to a URL that a stranger gave us, such as a customer's webhook endpoint.

Only public addresses are called. The connection goes to the address that was checked: a name is not resolved again, so
an answer that changes in between (DNS rebinding) is never used. No redirect is followed, no proxy is used, and no
cookie and no trace of ours goes along. BACKROOM_STRANGERS_ALLOW names exceptions, which need no TLS either.

Limits: the resolver's own timeout comes on top of the deadlines. Where DNS64 gives IPv6 addresses of IPv4 hosts, those
count as not public. The errors show a URL's owner whether its port is open.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from backroom.conf import conf
from backroom.ledger.errors import RetryAfter
from backroom.observe import context
from backroom.outbound import breaker
from backroom.outbound.deadline import BoundedResponse
from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import MARGIN, retry_after
from backroom.outbound.public_addresses import NotAnAddress, is_public

CONNECT, ANSWER = 3.0, 7.0  # seconds to connect, again for TLS, and for the whole answer
LEASE = 2 * CONNECT + ANSWER + MARGIN
KEPT = 4_000  # bytes of an answer's body; the rest is not read
NOT_PUBLIC = "The address has to lead to a public host."  # one sentence for all: others would tell our hosts' names


class NoAnswer(PartnerUnavailable):
    """Why no answer came: a sentence for the URL's owner. It may quote the host's name."""


class NotCallable(ValueError):
    """Why a URL is never called: a sentence for its owner."""


class _Failed(PartnerUnavailable):
    """Another status than 2xx, for the breaker."""


class Answer(NamedTuple):
    """`retry_after`: the seconds of its header, at most an hour; 0 for none."""

    status: int
    body: bytes
    retry_after: int


def check(url: str) -> None:
    """Raises NotCallable for a URL that is never called; its text is for the URL's owner. No name is resolved: that
    waits for the call."""
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise NotCallable("Enter a complete address, like https://example.com/webhooks.")
    if parts.auth:
        raise NotCallable("Leave the user name and the password out of the address.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not _is_allowed(parts.host, port):
        if parts.scheme == "http":
            raise NotCallable("The address has to begin with https://.")
        if port != 443 and port < 1024:
            raise NotCallable("Use the port 443, or one from 1024.")
    with suppress(NotAnAddress):
        _check_public(parts.host, port, [parts.host.strip("[]")])


def post(url: str, body: bytes, headers: Mapping[str, str], *, name: str, key: str) -> Answer:
    """Returns the answer, whatever its status.

    `name`, as "endpoint:7", has a breaker of its own, at the rate of "endpoint". `key` names the effect. All but a 2xx
    and a pause is a failure of this effect: five of different effects in a row open the breaker. Raises NoAnswer; and
    Away if the breaker, the rate limit or an earlier Retry-After holds the call back.
    """
    with suppress(RetryAfter, _Failed), breaker.guard(name, key, LEASE):
        with context.of_call(name, "POST"):
            answer = _exchange(url, body, headers)
        if answer.retry_after:
            raise RetryAfter(answer.retry_after, name)
        if not 200 <= answer.status < 300:
            raise _Failed(name)
    return answer


def _exchange(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    try:
        check(url)
        response = _pool().request(
            "POST", url, body=body, headers={"Accept-Encoding": "identity", **headers, "Connection": "close"},
            timeout=urllib3.Timeout(connect=CONNECT, read=ANSWER), redirect=False, preload_content=False,
            decode_content=False,
        )  # fmt: skip
        try:
            return Answer(response.status, _first_bytes(response), _pause(response))
        finally:
            response.close()
    except urllib3.exceptions.SSLError as error:
        why = getattr(error.args[0], "verify_message", "") if error.args else ""
        raise NoAnswer(f"No secure connection{f': {why}' if why else ''}.") from error
    except urllib3.exceptions.TimeoutError as error:
        raise NoAnswer("No whole answer came in time.") from error
    except urllib3.exceptions.HTTPError as error:
        raise NoAnswer("The connection broke off.") from error
    except NotCallable as error:
        raise NoAnswer(str(error)) from error


def _first_bytes(response: urllib3.BaseHTTPResponse) -> bytes:
    body = b""
    while len(body) < KEPT and (chunk := response.read1(KEPT)):
        body += chunk
    return body[:KEPT]


def _pause(response: urllib3.BaseHTTPResponse) -> int:
    return retry_after(response.headers.get("Retry-After", "")) if response.status in (429, 503) else 0


def _check_public(host: str, port: int, addresses: list[str]) -> None:
    """Raises NotCallable if one of the addresses is not public, unless the host is an exception."""
    if not _is_allowed(host, port) and not all(map(is_public, addresses)):
        raise NotCallable(NOT_PUBLIC)


def _is_allowed(host: str, port: int) -> bool:
    return f"{host.strip('[]')}:{port}" in conf.STRANGERS_ALLOW


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """A connection to the first of the host's addresses that accepts it. All of them are public, or none is tried. Each
    gets an equal part of the time that is left: one that is unreachable, as IPv6 may be, takes none from the others."""
    deadline = time.monotonic() + timeout
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(NOT_PUBLIC) from error
    _check_public(host, port, [str(address[0]) for *_, address in found])
    for number, (*kind, _, address) in enumerate(found):
        part = (deadline - time.monotonic()) / (len(found) - number)
        if part > 0 and (sock := _try(kind, address, part)):
            sock.settimeout(timeout)  # for TLS
            return sock
    raise NoAnswer("No connection could be made.")


def _try(kind: list[int], address: Any, seconds: float) -> socket.socket | None:
    with suppress(OSError):  # without IPv6, the kernel makes no socket
        sock = socket.socket(*kind)
        try:
            sock.settimeout(seconds)
            sock.connect(address)
            return sock
        except OSError:
            sock.close()
    return None


class _Connection(HTTPConnection):
    response_class = BoundedResponse

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port, CONNECT)


class _SecureConnection(HTTPSConnection):
    response_class = BoundedResponse

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port or 443, CONNECT)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


@cache  # made by the first call: it reads the system's certificates
def _pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager(retries=False, ssl_context=ssl.create_default_context())
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool
