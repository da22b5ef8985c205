"""Calls to strangers' addresses, which misbehave in every way: real servers on sockets, and a resolver that lies."""

import re
import socket
import time

import pytest

from backroom.outbound import breaker, strangers
from backroom.outbound.errors import Away
from backroom.outbound.strangers import Answer, NoAnswer
from tests.integration.receiver import certificate, receiving, reply

PUBLIC = "93.184.216.34"


@pytest.fixture
def receiver(settings, monkeypatch):
    """A receiver that is an exception, and deadlines that a test can wait for."""
    monkeypatch.setattr(strangers, "ANSWER", 0.25)
    with receiving() as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [receiver.allowed]
        yield receiver


def post(url: str, name: str = "anything", key: str = "hook:1") -> Answer:
    return strangers.post(url, b"{}", {"webhook-id": "evt_1"}, name=name, key=key)


@pytest.fixture
def trusting(monkeypatch, tmp_path):
    """A function that makes a TLS server's context, whose certificate this process trusts."""

    def trust(*names: str, days: int = 1):
        context, file = certificate(tmp_path, *names, days=days)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        strangers._pool.cache_clear()
        return context

    yield trust
    strangers._pool.cache_clear()


def resolving(monkeypatch, *answers: list[str]) -> list[str]:
    """A resolver that gives these addresses, one list after the other, then the last for ever; returns what it was
    asked."""
    asked: list[str] = []

    def look_up(host, port, *args, **kwargs):
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_an_answer_comes_back_whatever_its_status_and_the_request_has_no_header_of_ours(receiver):
    for status in (200, 204, 400, 404, 410, 500):
        receiver.says = reply(status, b"" if status == 204 else b"hello")
        assert post(receiver.url).status == status
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert names == {b"host", b"accept-encoding", b"connection", b"content-length", b"webhook-id", b"user-agent"}
    assert body == b"{}"


def test_a_redirect_is_an_answer_that_is_not_followed(receiver):
    with receiving() as inside:
        receiver.says = reply(302, headers=f"Location: http://{inside.allowed}/\r\n")
        assert post(receiver.url).status == 302
    assert inside.connections == 0


def test_of_a_huge_answer_only_the_beginning_is_read(receiver):
    receiver.says = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000
    assert post(receiver.url) == Answer(200, b"x" * strangers.KEPT, 0)


def test_a_compressed_answer_is_not_unpacked(receiver):
    receiver.says = reply(200, b"\x1f\x8b bomb", "Content-Encoding: gzip\r\n")
    assert post(receiver.url).body == b"\x1f\x8b bomb"


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"", "in time"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n<pause>" * 50, "in time"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" + b"x<pause>" * 50, "in time"),
        (b"HTTP/1.1 100 Continue\r\n\r\n<pause>" * 50, "in time"),
        (b"SSH-2.0-OpenSSH\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nx", "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "broke off"),
    ],
    ids=["hangs", "drips headers", "drips a body", "only continues", "no HTTP", "cut off", "huge header", "no chunks"],
)
def test_what_is_no_answer_ends_by_its_deadline_with_a_sentence(receiver, says, why):
    receiver.says = says
    with pytest.raises(NoAnswer, match=why):
        post(receiver.url)


def test_without_a_server_no_connection_is_made(receiver):
    receiver.server.shutdown(socket.SHUT_RDWR)
    receiver.server.close()
    with pytest.raises(NoAnswer, match="No connection"):
        post(receiver.url)


def test_a_good_certificate_is_accepted(settings, monkeypatch, trusting):
    with receiving(trusting("hooks.example")) as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [f"hooks.example:{receiver.port}"]
        resolving(monkeypatch, ["127.0.0.1"])
        assert post(f"https://hooks.example:{receiver.port}/").status == 204


@pytest.mark.parametrize(
    ("names", "days", "trusted"),
    [(["other.example"], 1, True), (["hooks.example"], -1, True), (["hooks.example"], 1, False)],
    ids=["of another host", "expired", "signed by itself"],
)
def test_a_broken_certificate_is_refused(settings, monkeypatch, trusting, tmp_path, names, days, trusted):
    context = trusting(*names, days=days) if trusted else certificate(tmp_path, *names)[0]
    with receiving(context) as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [f"hooks.example:{receiver.port}"]
        resolving(monkeypatch, ["127.0.0.1"])
        with pytest.raises(NoAnswer, match="No secure connection: "):
            post(f"https://hooks.example:{receiver.port}/")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["::ffff:127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], [PUBLIC, "127.0.0.1"]]
)
def test_a_name_that_leads_to_our_own_network_is_not_called(monkeypatch, found):
    with receiving() as receiver:
        resolving(monkeypatch, found)
        with pytest.raises(NoAnswer, match="public host"):
            post(f"https://hooks.example:{receiver.port}/")
    assert receiver.connections == 0


def connecting(monkeypatch, refused: str) -> list[str]:
    """Refuse connections to this address, after all the time that they have; returns the addresses that were tried."""
    tried: list[str] = []
    connect = socket.socket.connect

    def try_to(self, address):
        tried.append(address[0])
        if address[0] == refused:
            time.sleep(self.gettimeout())
            raise TimeoutError
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", try_to)
    return tried


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_called(monkeypatch):
    monkeypatch.setattr(strangers, "CONNECT", 0.05)
    tried, asked = connecting(monkeypatch, PUBLIC), resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    with pytest.raises(NoAnswer, match="No connection"):
        post("https://hooks.example:8443/")
    assert (asked, tried) == (["hooks.example"], [PUBLIC])


@pytest.mark.parametrize("family", [socket.AF_INET6, 9_999], ids=["a black hole", "no IPv6 in the kernel"])
def test_an_unreachable_address_takes_no_time_from_a_good_one(settings, monkeypatch, family):
    monkeypatch.setattr(strangers, "CONNECT", 0.3)
    with receiving() as receiver:
        settings.BACKROOM_STRANGERS_ALLOW = [f"hooks.example:{receiver.port}"]
        found = [(family, ("2606:2800::1", receiver.port)), (socket.AF_INET, ("127.0.0.1", receiver.port))]
        answers = [(each, socket.SOCK_STREAM, 6, "", address) for each, address in found]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
        connecting(monkeypatch, "2606:2800::1")
        assert post(f"http://hooks.example:{receiver.port}/").status == 204


def test_a_name_that_is_unknown_is_told_as_one_of_our_own_network(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NoAnswer, match=f"^{re.escape(strangers.NOT_PUBLIC)}$"):
        post("https://valkey/")


def test_an_exception_is_of_one_port(settings, monkeypatch):
    with receiving() as receiver, receiving() as database:
        settings.BACKROOM_STRANGERS_ALLOW = [receiver.allowed]
        with pytest.raises(NoAnswer):
            post(database.url)
        with pytest.raises(NoAnswer, match="public host"):
            post(database.url.replace("http:", "https:"))
    assert database.connections == 0


def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert post(receiver.url).status == 204


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_endpoint_that_fails_is_left_alone_and_no_other_one_is(receiver, settings, status):
    settings.BACKROOM_PARTNER_RATES = {"endpoint": 1000}
    receiver.says = reply(status)
    for number in range(breaker.THRESHOLD):
        assert post(receiver.url, "endpoint:1", f"hook:{number}").status == status
    with pytest.raises(Away):
        post(receiver.url, "endpoint:1", "hook:9")
    assert post(receiver.url, "endpoint:2", "hook:9").status == status
    assert len(receiver.requests) == breaker.THRESHOLD + 1


def test_an_endpoint_that_asks_for_a_pause_gets_one(receiver, settings):
    settings.BACKROOM_PARTNER_RATES = {"endpoint": 1000}
    receiver.says = reply(429, headers="Retry-After: 60\r\n")
    assert post(receiver.url, "endpoint:1") == Answer(429, b"", 60)
    with pytest.raises(Away) as held:
        post(receiver.url, "endpoint:1", "hook:2")
    assert 50 < held.value.seconds <= 61
