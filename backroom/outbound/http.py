"""HTTP calls to a partner: through its breaker, with a total deadline and an idempotency key. The answer becomes a
result or one of our errors here, at the edge."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from backroom.conf import conf
from backroom.ledger.errors import Permanent, RetryAfter
from backroom.observe import context
from backroom.outbound import breaker
from backroom.outbound.deadline import BoundedResponse
from backroom.outbound.errors import PartnerUnavailable, PartnerUnreachable

MAX_BODY = 1_000_000  # bytes of an answer
TRY_AGAIN = {408, 425, 429}  # the 4xx that are about this moment, not about the request
RETRY_AFTER_LIMIT = 3600  # seconds of a Retry-After that are honoured
MARGIN = 2  # seconds a call may take beyond its timeouts


class _Connection(HTTPConnection):
    response_class = BoundedResponse


class _SecureConnection(HTTPSConnection):
    response_class = BoundedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_pool = urllib3.PoolManager(maxsize=8, retries=False)
_pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
_Answered = tuple[urllib3.BaseHTTPResponse, bytes]  # and its body


class NotFound(Permanent):
    """404 or 410. Its text leaves the path out: a browser's push address is a secret."""


class Conflict(Permanent):
    """409: the partner's state does not fit the request."""


class Partner:
    """A partner's HTTP interface, below `url` or BACKROOM_PARTNERS_URL.

    `timeout` is the seconds to connect and those for the whole answer; `patience` the seconds that a caller waits for
    its slot at the rate limit. All calls raise Permanent when the partner refuses the request; RetryAfter when it
    says when to come back; Away (a Snooze and a PartnerUnavailable) if the breaker or the rate limit holds the call
    back, or no connection is made; PartnerUnavailable for all else, which a retry may cure.
    """

    def __init__(
        self, name: str, timeout: tuple[float, float] = (1.0, 5.0), patience: float = 0.0, url: str | None = None
    ) -> None:
        self.name, self.url = name, url
        self.timeout = urllib3.Timeout(connect=timeout[0], read=timeout[1])
        self.lease = sum(timeout) + MARGIN
        self.patience = patience

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """POST a JSON body under an idempotency key; returns the decoded answer."""
        with breaker.guard(self.name, key, self.lease, self.patience):
            _, answer = self._ask("POST", path, json=body, headers={"Idempotency-Key": key})
            return self._decode(answer)

    def post_bytes(self, path: str, body: bytes, key: str, headers: Mapping[str, str]) -> None:
        """POST a body of another type, named by `headers`, under an idempotency key. The answer's body is ignored."""
        with breaker.guard(self.name, key, self.lease, self.patience):
            self._ask("POST", path, body=body, headers={"Idempotency-Key": key, **headers})

    def get(self, path: str) -> dict[str, Any] | None:
        """GET; returns the decoded answer, or None for a 404."""
        try:
            with breaker.guard(self.name, path, self.lease, self.patience):
                return self._decode(self._ask("GET", path)[1])
        except NotFound:
            return None

    def get_changed(self, path: str, etag: str = "") -> tuple[dict[str, Any], str] | None:
        """GET; returns the decoded answer and its ETag ("" for none), or None for the 304 that it is the one with this
        ETag. Raises NotFound, too."""
        condition = {"If-None-Match": etag} if etag else None
        with breaker.guard(self.name, path, self.lease, self.patience):
            response, body = self._ask("GET", path, headers=condition)
            return None if response.status == 304 else (self._decode(body), response.headers.get("ETag", ""))

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> _Answered:
        with context.of_call(self.name, method) as traced:
            return self._exchange(method, path, headers={**traced, **(headers or {})}, **options)

    def _exchange(self, method: str, path: str, **options: Any) -> _Answered:
        try:
            response = _pool.request(
                method, f"{self.url or conf.PARTNERS_URL}{path}", timeout=self.timeout, redirect=False,
                preload_content=False, **options,
            )  # fmt: skip
            body = self._read(response)
        except urllib3.exceptions.ConnectTimeoutError as error:  # refused and unresolved, too
            raise PartnerUnreachable(f"{self.name} can't be reached ({type(error).__name__})") from error
        except urllib3.exceptions.HTTPError as error:
            raise PartnerUnavailable(f"{self.name} did not answer ({type(error).__name__})") from error
        if not (response.status == 304 and "If-None-Match" in options["headers"]):
            self._raise_for_status(response)
        return response, body

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        body = b""
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_BODY:
                response.close()
                raise PartnerUnavailable(f"{self.name} answers with over {MAX_BODY:,} bytes")
        response.release_conn()
        return body

    def _raise_for_status(self, response: urllib3.BaseHTTPResponse) -> None:
        status = response.status
        if status in (429, 503) and (seconds := retry_after(response.headers.get("Retry-After", ""))):
            raise RetryAfter(seconds, f"{self.name} answered {status} with a Retry-After")
        if status in (404, 410):
            raise NotFound(f"{self.name} answered {status}")
        if status == 409:
            raise Conflict(f"{self.name} refused: 409")
        if 400 <= status < 500 and status not in TRY_AGAIN:
            raise Permanent(f"{self.name} refused: {status}")
        if not 200 <= status < 300:
            raise PartnerUnavailable(f"{self.name} answered {status}")

    def _decode(self, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PartnerUnavailable(f"{self.name} answered without a JSON object")
        return answer


def retry_after(header: str) -> int:
    """The seconds of a Retry-After, in either of its forms (RFC 9110, 10.2.3); 0 for none or an invalid one."""
    try:
        if header.isascii() and header.isdigit():
            return min(int(header[:9]), RETRY_AFTER_LIMIT)
        seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # TypeError: a date without its zone
        return 0
    return min(max(0, math.ceil(seconds)), RETRY_AFTER_LIMIT)
