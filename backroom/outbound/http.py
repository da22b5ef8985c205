"""Speaking to a partner over HTTP: through its gate, bounded in time, keyed; an answer is judged here, at the edge."""

import http.client
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection

from backroom.ledger.errors import Permanent, RetryAfter
from backroom.observe import context
from backroom.outbound import breaker
from backroom.outbound.deadline import bounded
from backroom.outbound.errors import PartnerUnavailable, PartnerUnreachable

MAX_BODY = 1_000_000  # bytes; no partner's answer is larger
TRY_AGAIN = {408, 425, 429}  # the 4xx that speak of now, not of the request
PATIENCE_LIMIT = 3600  # seconds; a partner that asks for more is asked again after these
MARGIN = 2  # seconds a call may take beyond its timeouts


class _Answer(http.client.HTTPResponse):
    """An answer of which the read timeout bounds the whole, headers and body: http.client's is for each read."""

    def __init__(self, sock, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = bounded(sock)


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_pool = urllib3.PoolManager(maxsize=8, retries=False)
_pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class NotFound(Permanent):
    """The partner knows nothing under this address."""


class Conflict(Permanent):
    """The partner says that things stand otherwise than the request takes for granted (409)."""


class Partner:
    """A partner's HTTP interface below settings.PARTNERS_URL.

    `timeout` is the seconds to connect and those for the whole answer; `patience` those that a caller would wait for
    its turn where the partner is asked as often as allowed. Errors of both calls: Permanent when the partner refuses
    the request as such; RetryAfter when it says when to come back; Away (a Snooze and a PartnerUnavailable) where it
    is not to be asked now, or can't be reached; PartnerUnavailable for all else, which trying again may cure.
    """

    def __init__(self, name: str, timeout: tuple[float, float] = (1.0, 5.0), patience: float = 0.0) -> None:
        self.name = name
        self.timeout = urllib3.Timeout(connect=timeout[0], read=timeout[1])
        self.lease = sum(timeout) + MARGIN
        self.patience = patience

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """POST a JSON body under an idempotency key; returns the decoded answer."""
        with breaker.guard(self.name, key, self.lease, self.patience):
            return self._ask("POST", path, json=body, headers={"Idempotency-Key": key})

    def get(self, path: str) -> dict[str, Any] | None:
        """GET; returns the decoded answer, or None for a 404."""
        try:
            with breaker.guard(self.name, path, self.lease, self.patience):
                return self._ask("GET", path)
        except NotFound:
            return None

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
        with context.of_call(self.name, method) as traced:
            return self._exchange(method, path, headers={**traced, **(headers or {})}, **options)

    def _exchange(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = _pool.request(
                method, f"{settings.PARTNERS_URL}{path}", timeout=self.timeout, redirect=False,
                preload_content=False, **options,
            )  # fmt: skip
            body = self._read(response)
        except urllib3.exceptions.ConnectTimeoutError as error:  # refused and unresolved, too
            raise PartnerUnreachable(f"{self.name} can't be reached ({type(error).__name__})") from error
        except urllib3.exceptions.HTTPError as error:
            raise PartnerUnavailable(f"{self.name} did not answer ({type(error).__name__})") from error
        self._judge(response, path)
        return self._decode(response, body)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        body = b""
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_BODY:
                response.close()
                raise PartnerUnavailable(f"{self.name} answers without end")
        response.release_conn()
        return body

    def _judge(self, response: urllib3.BaseHTTPResponse, path: str) -> None:
        status = response.status
        if status in (429, 503) and (seconds := _patience(response.headers.get("Retry-After", ""))):
            raise RetryAfter(seconds, f"{self.name} asks for patience")
        if status == 404:
            raise NotFound(f"{self.name} knows no {path}")
        if status == 409:
            raise Conflict(f"{self.name} refused: 409")
        if 400 <= status < 500 and status not in TRY_AGAIN:
            raise Permanent(f"{self.name} refused: {status}")
        if not 200 <= status < 300:
            raise PartnerUnavailable(f"{self.name} answered {status}")

    def _decode(self, response: urllib3.BaseHTTPResponse, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PartnerUnavailable(f"{self.name} answered {response.status} with something that is no JSON object")
        return answer


def _patience(header: str) -> int:
    """The seconds that a Retry-After asks for, in either of its forms (RFC 9110, 10.2.3); 0 for none, or nonsense."""
    try:
        if header.isascii() and header.isdigit():
            return min(int(header[:9]), PATIENCE_LIMIT)
        seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # TypeError: a date without its zone
        return 0
    return min(max(0, math.ceil(seconds)), PATIENCE_LIMIT)
