"""POST to a URL that a stranger gave us, such as a customer's webhook endpoint.

Only public addresses are called, and the address that was checked is the one that the connection uses. So a name that
resolves to another one a moment later (DNS rebinding) gains nothing. No redirect is followed, no proxy is used, and no
cookie and no trace of ours goes along. BACKROOM_STRANGERS_ALLOW names exceptions, which need no TLS either.

Limits: the resolver's own timeout comes on top of the deadlines. Where DNS64 gives IPv6 addresses of IPv4 hosts, those
count as not public.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from backroom.conf import conf
from backroom.ledger.errors import RetryAfter
from backroom.observe import context
from backroom.outbound import breaker
from backroom.outbound.deadline import BoundedResponse
from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import MARGIN, retry_after

CONNECT, ANSWER = 3.0, 7.0  # seconds to connect, again for TLS, and for the whole answer
LEASE = 2 * CONNECT + ANSWER + MARGIN
KEPT = 4_000  # bytes of an answer's body; the rest is not read
UNICAST = ip_network("2000::/3")
TUNNELS = ip_network("2002::/16"), ip_network("2001::/32")  # 6to4 and Teredo: an IPv4 address is inside


class NoAnswer(PartnerUnavailable):
    """Why no answer came: a sentence for the URL's owner. It may quote the host's name."""


class NotCallable(ValueError):
    """Why a URL is never called: a sentence for its owner."""


class _Failed(PartnerUnavailable):
    """A 5xx, for the breaker."""


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
    if parts.scheme == "http" and not _is_allowed(parts.host, port):
        raise NotCallable("The address has to begin with https://.")
    with suppress(_NotAnAddress):
        _check_public(parts.host, port, [parts.host.strip("[]")])


def post(url: str, body: bytes, headers: Mapping[str, str], *, name: str, key: str) -> Answer:
    """Returns the answer, whatever its status.

    `name`, as "endpoint:7", has a breaker of its own, at the rate of "endpoint". `key` names the effect. A 5xx and no
    answer are failures of this effect: five of different effects in a row open the breaker. Raises NoAnswer; and Away
    if the breaker, the rate limit or an earlier Retry-After holds the call back.
    """
    with suppress(RetryAfter, _Failed), breaker.guard(name, key, LEASE):
        with context.of_call(name, "POST"):
            answer = _exchange(url, body, headers)
        if answer.retry_after:
            raise RetryAfter(answer.retry_after, name)
        if answer.status >= 500:
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


class _NotAnAddress(ValueError):
    pass


def _check_public(host: str, port: int, addresses: list[str]) -> None:
    """Raises NotCallable if one of the addresses is not public, unless the host is an exception."""
    if not _is_allowed(host, port) and not all(map(is_public, addresses)):
        raise NotCallable("The address leads to a network that is not public.")


def is_public(address: str) -> bool:
    """Whether everyone can reach this IP address. Raises ValueError for another text."""
    try:
        found = ip_address(address)
    except ValueError as error:
        raise _NotAnAddress(address) from error
    if found.version == 4:
        return found.is_global and not found.is_multicast
    return found in UNICAST and found.is_global and not any(found in tunnel for tunnel in TUNNELS)


def _is_allowed(host: str, port: int) -> bool:
    return f"{host.strip('[]')}:{port}" in conf.STRANGERS_ALLOW


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """A connection to one of the host's addresses. All of them are public, or none is tried."""
    deadline = time.monotonic() + timeout
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer("The name of its host can't be resolved.") from error
    _check_public(host, port, [str(address[0]) for *_, address in found])
    for family, kind, protocol, _, address in found:
        if (left := deadline - time.monotonic()) <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left)
            sock.connect(address)
            return sock
        except OSError:
            sock.close()
    raise NoAnswer("No connection could be made.")


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
