"""Scans uploaded files by clamd, which CLAMD_URL names. Without it nothing is scanned, and the page says so.

A file that clamd does not answer about is never published: its job waits, or is a dead letter.
"""

import socket
import struct
import time
from functools import partial
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings

from backroom import Permanent
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable, PartnerUnreachable
from catalog.media import storage
from catalog.media.models import Media
from catalog.media.refused import Refused
from catalog.media.steps import Made

CONNECT, LIMIT = 3, 30  # seconds to connect, and for the whole answer
CHUNK = 256 * 1024  # bytes
ANSWER = 4096  # bytes, at most


def check(media: Media) -> Made:
    """The step `scan`. Raises Refused for a virus, and what `scan` raises."""
    if not settings.CLAMD_URL:
        return Made(note="not scanned: CLAMD_URL is not set")
    with storage.opened(media.original) as file:
        file.seek(0)  # loads a bucket's file: clamd's time and breaker are not for that
        found = scan(f"media-scan:{media.pk}", file)
    if found:
        raise Refused(f"The file has a virus: {found[:100]}.")
    return Made(note="no virus")


def scan(effect: str, file: IO[bytes]) -> str:
    """The name of the virus that clamd finds in the file, or "". Raises Away while clamd does not answer at all,
    PartnerUnavailable if it does not finish, and Permanent for a file that its configuration does not let it read."""
    with breaker.guard("clamd", effect, lease=CONNECT + LIMIT + 5):
        answer = _ask(file)
        if "size limit exceeded" in answer:
            raise Permanent("clamd takes no file of this size: raise its StreamMaxLength, and replay this job")
        if not answer.endswith((" FOUND", " OK")):
            raise PartnerUnavailable(f"clamd answered {answer[:100]!r}")
    return answer.removeprefix("stream: ").removesuffix(" FOUND") if answer.endswith(" FOUND") else ""


def _ask(file: IO[bytes]) -> str:
    """INSTREAM of clamd(8): the file in chunks, each behind its length, and a chunk of none."""
    until = time.monotonic() + LIMIT
    with _connection() as clamd:
        try:
            try:
                clamd.sendall(b"zINSTREAM\0")
                for chunk in iter(partial(file.read, CHUNK), b""):
                    _send(clamd, struct.pack("!L", len(chunk)) + chunk, until)
                _send(clamd, struct.pack("!L", 0), until)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered before the end, as for a file that is too large
            answer = b""
            while b"\0" not in answer and len(answer) < ANSWER and (part := _receive(clamd, until)):
                answer += part
        except OSError as error:
            raise PartnerUnavailable(
                f"clamd did not finish, or takes no file of this size: {type(error).__name__}"
            ) from error
    return answer.partition(b"\0")[0].decode(errors="replace").strip()


def _connection() -> socket.socket:
    where = urlsplit(settings.CLAMD_URL)
    try:
        if where.scheme == "tcp":
            return socket.create_connection((where.hostname, where.port), CONNECT)
        clamd = socket.socket(socket.AF_UNIX)
        clamd.settimeout(CONNECT)
        clamd.connect(where.path)
        return clamd
    except OSError as error:
        raise PartnerUnreachable(f"clamd is not reachable: {type(error).__name__}") from error


def _send(clamd: socket.socket, data: bytes, until: float) -> None:
    clamd.settimeout(max(0.001, until - time.monotonic()))
    clamd.sendall(data)


def _receive(clamd: socket.socket, until: float) -> bytes:
    clamd.settimeout(max(0.001, until - time.monotonic()))
    return clamd.recv(ANSWER)
