"""`/metrics` as gunicorn's several processes answer it."""

import os
import signal
import socket
from contextlib import ExitStack, suppress

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from stack import readiness
from tests.acceptance.conftest import Cluster
from tests.acceptance.processes import children
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]


def pages(house: Cluster, number: int) -> None:
    """Request `number` pages, each on its own connection, so that every process gets some."""
    for _ in range(number):
        with urllib3.PoolManager() as visitor:
            assert visitor.request("GET", f"{house.site}/products/", retries=False).status == 200


def counted(house: Cluster) -> float:
    """How many pages /metrics says that there were."""
    headers = {"Authorization": f"Bearer {house.env['METRICS_TOKEN']}"}
    answer = urllib3.request("GET", f"{house.site}/metrics?only=web", headers=headers, retries=3)
    found = text_string_to_metric_families(answer.data.decode())
    samples = [sample for family in found for sample in family.samples]
    name, route = "backroom_http_request_duration_seconds_count", "/products/"
    return sum(s.value for s in samples if s.name == name and s.labels["route"] == route)


def test_whichever_process_is_asked_it_tells_of_all_also_of_those_that_died_or_were_replaced(house: Cluster):
    (first,) = children(house.processes["web"].pid)
    os.kill(first, signal.SIGSTOP)
    try:
        house.processes["web"].send_signal(signal.SIGTTIN)
        until(lambda: readiness.http_ok(f"{house.site}/healthz"), what="a second child answers")
    finally:
        os.kill(first, signal.SIGCONT)
    before = counted(house)
    pages(house, 20)
    assert {counted(house) for _ in range(10)} == {before + 20}

    killed, other = children(house.processes["web"].pid)[:2]
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in children(house.processes["web"].pid) and counted(house), what="another takes its place")
    pages(house, 20)
    assert {counted(house) for _ in range(10)} == {before + 40}

    house.processes["web"].send_signal(signal.SIGHUP)
    until(lambda: other not in children(house.processes["web"].pid))
    pages(house, 20)
    assert {counted(house) for _ in range(10)} == {before + 60}


UNFINISHED = {
    "idle": b"",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "half a body": b"POST /cart/add/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf",
    "half a body, its length padded": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0000000009\r\n\r\nhalf",
    "half a chunk": b"POST /cart/add/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    "no end": b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_clients_that_hold_their_connections_hold_no_thread_of_the_web(house: Cluster, sent):
    address = ("127.0.0.1", int(house.env["WEB_PORT"]))
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(address)).sendall(sent)
        for _ in range(20):  # some for each process
            with urllib3.PoolManager() as visitor:
                assert visitor.request("GET", f"{house.site}/healthz", retries=False, timeout=30).status == 200


def test_a_client_that_asks_on_before_it_takes_an_answer_gets_no_other(house: Cluster):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)  # less than one answer
        client.connect(("127.0.0.1", int(house.env["WEB_PORT"])))
        client.sendall(b"GET /static/ops/htmx.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
        received = b""
        with suppress(ConnectionResetError):
            while data := client.recv(65536):
                received += data
                if received.count(b"HTTP/1.1 200") == 100:
                    break
    assert 1 <= received.count(b"HTTP/1.1 200") < 100
