"""Speaking to a partner over HTTP: bounded in time, keyed, and every answer judged here, at the edge."""

import json
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from django.conf import settings

from jobs import trail
from jobs.errors import Permanent, RetryAfter

MAX_BODY = 1_000_000  # bytes; no partner's answer is larger
TRY_AGAIN = {408, 425, 429}  # the 4xx that speak of now, not of the request

_pool = urllib3.PoolManager(maxsize=8, retries=False)


class PartnerUnavailable(Exception):
    """The partner did not answer, or not sensibly: it may have done the work, so ask again with the same key."""


class NotFound(Permanent):
    """The partner knows nothing under this address."""


class Conflict(Permanent):
    """The partner says that things stand otherwise than the request takes for granted (409)."""


class Partner:
    """A partner's HTTP interface below settings.PARTNERS_URL.

    Errors of both calls: Permanent when the partner refuses the request as such; RetryAfter when it says when to come
    back; PartnerUnavailable for all else, which trying again may cure.
    """

    def __init__(self, name: str, timeout: tuple[float, float] = (1.0, 5.0)) -> None:
        self.name = name
        self.seconds = timeout[1]  # for each read until the headers are here, then for the whole body
        self.timeout = urllib3.Timeout(connect=timeout[0], read=self.seconds)

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """POST a JSON body under an idempotency key; returns the decoded answer."""
        return self._ask("POST", path, json=body, headers={"Idempotency-Key": key})

    def get(self, path: str) -> dict[str, Any] | None:
        """GET; returns the decoded answer, or None for a 404."""
        try:
            return self._ask("GET", path)
        except NotFound:
            return None

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
        with trail.of_call(self.name, method) as traced:
            return self._exchange(method, path, headers={**traced, **(headers or {})}, **options)

    def _exchange(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = _pool.request(
                method, f"{settings.PARTNERS_URL}{path}", timeout=self.timeout, redirect=False,
                preload_content=False, **options,
            )  # fmt: skip
            body = self._read(response)
        except urllib3.exceptions.HTTPError as error:
            raise PartnerUnavailable(f"{self.name} did not answer ({type(error).__name__})") from error
        self._judge(response, path)
        return self._decode(response, body)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The body. The timeout is for each read, so a partner that dribbles is cut off by the clock."""
        deadline = time.monotonic() + self.seconds
        body = b""
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_BODY or time.monotonic() > deadline:
                response.close()
                raise PartnerUnavailable(f"{self.name} answers without end")
        response.release_conn()
        return body

    def _judge(self, response: urllib3.BaseHTTPResponse, path: str) -> None:
        status = response.status
        if status == 429 and (seconds := response.headers.get("Retry-After", "")).isdigit():
            raise RetryAfter(min(int(seconds), 3600), f"{self.name} asks for patience")
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
