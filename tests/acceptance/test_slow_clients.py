"""What strangers' slow, large and forged requests cost the others, at gunicorn with no proxy before it."""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import urllib3

from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db]

# Each would hold one of the web's threads for as long as it likes, if a thread waited for it.
SLOW = {
    "idle": b"",
    "half a header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "half a body": b"POST /cart/add/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nhalf",
}
HELD = 5.0  # seconds; a thread would be held for HOLD_SECONDS of shop/web_worker.py at least, which is more
Connect = Callable[[bytes], socket.socket]


@pytest.fixture
def connect(open_house: Cluster) -> Iterator[Connect]:
    """Opens a connection to the web and sends this."""
    open_house.start("web")
    with ExitStack() as stack:

        def connect(sent: bytes) -> socket.socket:
            address = "127.0.0.1", int(open_house.env["WEB_PORT"])
            client = stack.enter_context(socket.create_connection(address, HELD))
            client.sendall(sent)
            return client

        yield connect


@pytest.mark.parametrize("kind", SLOW)
def test_fifty_slow_clients_delay_no_other_page(open_house: Cluster, connect: Connect, kind: str):
    for _ in range(50):
        connect(SLOW[kind])
    for _ in range(10):
        answer = urllib3.request("GET", f"{open_house.site}/products/", retries=False, timeout=HELD)
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/cart/add/", "/api/orders", "/admin/catalog/import/add/"])
def test_a_large_body_is_refused_before_any_of_it_has_come(connect: Connect, path: str):
    client = connect(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 120000000\r\n\r\n".encode())
    assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "X_Forwarded_Host"])
def test_a_header_that_would_name_another_path_or_client_is_dropped(connect: Connect, name: str):
    client = connect(f"GET /cart/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}: /evil\r\nConnection: close\r\n\r\n".encode())
    with client.makefile("rb") as answer:
        page = answer.read()
    assert page.startswith(b"HTTP/1.1 200 ")
    assert b"/evil" not in page


@pytest.mark.slow
def test_the_connection_of_a_slow_client_ends(connect: Connect):
    clients = [connect(SLOW[kind]) for kind in SLOW for _ in range(50)]

    def ended() -> bool:
        for client in select.select(clients, [], [], 0)[0]:
            try:
                more = client.recv(100_000)
            except ConnectionResetError:
                more = b""
            if not more:
                clients.remove(client)
        return not clients

    until(ended, 20)
