"""proxy/nginx.conf, run by an installed nginx: what the web behind it sees of slow, large and forged requests."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import urllib3

from stack import ports
from tests import waiting

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin") or ""
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")
CONFIGURATION = Path(__file__).parents[2] / "proxy" / "nginx.conf"
HALF_HEADER = b"GET / HTTP/1.1\r\nHost: shop\r\n"
HALF_BODY = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf"


class Web(BaseHTTPRequestHandler):
    """Answers the headers that it got."""

    requests: list[str] = []

    def do_POST(self) -> None:
        self.requests.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("proxy"), ports.free(["WEB_PORT"])["WEB_PORT"]
    text = re.sub(r"(header|body)_timeout 10s", r"\1_timeout 1s", CONFIGURATION.read_text())
    text = text.replace("listen 8000", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{folder}/")  # noqa: S108
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        (folder / "nginx.conf").write_text(text.replace("web:8000", f"127.0.0.1:{web.server_port}"))
        nginx = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        waiting.until(lambda: (folder / "nginx.pid").exists())
        yield port
        nginx.terminate()
        nginx.wait()
        web.shutdown()


def post(port: int, path: str, body: bytes | Iterator[bytes] = b"", **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"http://127.0.0.1:{port}{path}", body=body, headers=headers, retries=False)


def test_a_client_can_not_choose_its_address(proxy):
    forged = {"X-Real-IP": "192.0.2.1", "X-Forwarded-For": "192.0.2.2"}
    assert post(proxy, "/", **forged).json()["X-Real-IP"] == "127.0.0.1"


@pytest.mark.parametrize(("path", "kind"), [("/cart/add/", "text/html"), ("/api/orders", "application/problem+json")])
def test_a_large_body_never_reaches_the_web(proxy, path, kind):
    response = post(proxy, path, b"x" * 70_000)
    assert (response.status, response.headers["Content-Type"]) == (413, kind)
    assert path not in Web.requests


def test_an_unfinished_request_ends_and_never_reaches_the_web(proxy):
    Web.requests.clear()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", proxy), timeout=20)) for _ in range(3)]
        for client, sent in zip(clients, [b"", HALF_HEADER, HALF_BODY], strict=True):
            client.sendall(sent)
        assert not any(client.recv(1000) for client in clients)  # nginx closed each connection
    assert not Web.requests


def test_a_body_without_a_length_gets_one(proxy):
    assert post(proxy, "/", iter([b"ab", b"cd"])).json()["Content-Length"] == "4"


def test_an_upload_of_staff_reaches_the_web_while_it_comes(proxy):
    """So the web refuses all others' at the header."""
    Web.requests.clear()
    with socket.create_connection(("127.0.0.1", proxy), timeout=20) as client:
        client.sendall(b"POST /admin/catalog/add/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 70000\r\n\r\nhalf")
        waiting.until(lambda: "/admin/catalog/add/" in Web.requests)
    assert post(proxy, "/admin/catalog/add/", b"x" * 70_000).status == 200
    with socket.create_connection(("127.0.0.1", proxy), timeout=20) as client:
        client.sendall(b"POST /admin/catalog/add/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 300000000\r\n\r\n")
        assert b" 413 " in client.recv(1000)
