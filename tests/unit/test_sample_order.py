"""The demo's first order, at an address where something else may answer."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from stack import sample_order


class Stranger(BaseHTTPRequestHandler):
    """Answers the path, which is no JSON, as a login page of a proxy is none."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"\xff" + self.path.encode())


def test_an_answer_that_is_no_json_is_a_failed_order_that_quotes_it():
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = Thread(target=server.handle_request)
        serving.start()
        with pytest.raises(sample_order.OrderFailed, match=r"answered 200: \ufffd/api/products$"):
            sample_order.place(f"http://127.0.0.1:{server.server_port}")
        serving.join()
