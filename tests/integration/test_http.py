"""The HTTP client classifies a partner's answers, which a real server on a socket gives byte by byte."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from backroom import Permanent, RetryAfter
from backroom.outbound.http import Partner, PartnerUnavailable

partner, hasty = Partner("anything", timeout=(10, 10)), Partner("anything", timeout=(0.3, 0.5))


@pytest.fixture
def answering(settings) -> Iterator[Callable[[bytes], None]]:
    """A function that says what the partner answers from now on; `b""` is nothing, ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.BACKROOM_PARTNERS_URL = f"http://127.0.0.1:{server.getsockname()[1]}"
        said: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, suppress(OSError):  # the one who asked may have left
                client.recv(65_536)
                for piece in said[0].split(b"<pause>"):
                    client.sendall(piece)
                    time.sleep(0.2 if b"<pause>" in said[0] else 0)
                if not said[0]:
                    time.sleep(20)

        threading.Thread(target=serve, daemon=True).start()
        yield lambda text: said.insert(0, text)


def reply(status: str, body: bytes = b"{}", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


def test_a_json_object_is_returned(answering):
    answering(reply("201 Created", b'{"id": 7}'))
    assert partner.post("/things", {}, key="thing:1") == {"id": 7}


def test_an_unknown_address_is_none_for_get_and_permanent_for_post(answering):
    answering(reply("404 Not Found"))
    assert partner.get("/things/1") is None
    with pytest.raises(Permanent):
        partner.post("/things", {}, key="thing:1")


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "409 Conflict", "422 Unprocessable"])
def test_a_refusal_is_permanent(answering, status):
    answering(reply(status))
    with pytest.raises(Permanent):
        partner.post("/things", {}, key="thing:1")


@pytest.mark.parametrize(
    "status", ["408 Request Timeout", "425 Too Early", "429 Too Many Requests", "500 Oh", "503 No"]
)
def test_an_error_that_may_pass_is_not_permanent(answering, status):
    answering(reply(status))
    with pytest.raises(PartnerUnavailable):
        partner.post("/things", {}, key="thing:1")


@pytest.mark.parametrize(
    ("status", "says", "seconds"),
    [
        ("429 Too Many Requests", "17", 17),
        ("503 Service Unavailable", "17", 17),
        ("429 Too Many Requests", "999999999", 3600),
        ("429 Too Many Requests", "Sun, 22 Nov 2099 00:00:00 GMT", 3600),
    ],
)
def test_retry_after_is_passed_on_and_capped(answering, status, says, seconds):
    answering(reply(status, headers=f"Retry-After: {says}\r\n"))
    with pytest.raises(RetryAfter) as caught:
        partner.post("/things", {}, key="thing:1")
    assert caught.value.seconds == seconds


def test_retry_after_may_be_a_date(answering):
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    answering(reply("429 Too Many Requests", headers=f"Retry-After: {date}\r\n"))
    with pytest.raises(RetryAfter) as caught:
        partner.post("/things", {}, key="thing:1")
    assert 200 < caught.value.seconds <= 300


@pytest.mark.parametrize("says", ["soon", "-1", "²", "Sun, 22 Nov 2020 00:00:00 GMT", "1.5", "0"])
def test_a_retry_after_that_says_nothing_is_no_answer(answering, says):
    answering(reply("429 Too Many Requests", headers=f"Retry-After: {says}\r\n"))
    with pytest.raises(PartnerUnavailable):
        partner.post("/things", {}, key="thing:1")


@pytest.mark.parametrize(
    "wrong",
    [
        reply("200 OK", b"<html>"),
        reply("200 OK", b"[1, 2]"),
        reply("302 Found", headers="Location: http://127.0.0.1:9/\r\n"),
        reply("200 OK", b'{"half":')[:-3],
        b"not http at all\r\n\r\n",
        reply("200 OK", b'{"x": "' + b"x" * 1_100_000 + b'"}'),
    ],
    ids=["html", "list", "redirect", "cut off", "noise", "endless"],
)
def test_an_answer_that_makes_no_sense_is_tried_again(answering, wrong):
    answering(wrong)
    with pytest.raises(PartnerUnavailable):
        partner.post("/things", {}, key="thing:1")


SLOW_HEADERS = b"HTTP/1.1 200 OK\r\n" + b"<pause>".join([b"X-A: a\r\n"] * 40) + b"\r\n{}"
SLOW_LINE = b"<pause>".join(list(map(bytes, zip(b"HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n{}"))))


@pytest.mark.parametrize(
    "said",
    [b"", reply("200 OK", b"<pause>".join([b" "] * 40)), SLOW_HEADERS, SLOW_LINE],
    ids=["silent", "dribbling", "slow headers", "slow loris"],
)
def test_nobody_waits_longer_than_the_timeout(answering, said):
    answering(said)
    begin = time.monotonic()
    with pytest.raises(PartnerUnavailable):
        hasty.post("/things", {}, key="thing:1")
    assert time.monotonic() - begin < 5  # the whole answer takes eight


def test_a_partner_that_is_not_there_is_tried_again(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings.BACKROOM_PARTNERS_URL = f"http://127.0.0.1:{port}"
    with pytest.raises(PartnerUnavailable):
        partner.post("/things", {}, key="thing:1")


def test_an_answer_with_an_etag_is_read_again_only_once_it_has_changed(answering):
    answering(reply("200 OK", b'{"id": 7}', headers='ETag: "a"\r\n'))
    assert partner.get_changed("/things") == ({"id": 7}, '"a"')
    answering(reply("304 Not Modified", b""))
    assert partner.get_changed("/things", '"a"') is None


def test_a_304_to_a_request_without_an_etag_is_no_answer(answering):
    answering(reply("304 Not Modified", b""))
    for call in (partner.get_changed, partner.get):
        with pytest.raises(PartnerUnavailable):
            call("/things")
    with pytest.raises(PartnerUnavailable):
        partner.post_bytes("/things", b"x", key="thing:1", headers={})
