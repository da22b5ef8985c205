"""A proxy to the mail server: it reports which process sends a mail, and when its 250 goes out."""

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

KEY = re.compile(rb"^Message-ID:\s*<([^@]+)@", re.MULTILINE | re.IGNORECASE)


class Proxy:
    """Forwards connections to the real server.

    `connected` gets the sender's port, and returns its process. `accepted` gets that process, the mail's name and the
    time, right after the 250 went out."""

    def __init__(self, server: tuple[str, int], connected: Callable[[int], int], accepted: Callable[..., None]):
        self.server, self.connected, self.accepted = server, connected, accepted
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            client, (_, port) = self.listener.accept()
            threading.Thread(target=self.serve, args=(client, port), daemon=True).start()

    def serve(self, client: socket.socket, port: int) -> None:
        """One connection."""
        sender, data, sent = self.connected(port), False, bytearray()
        with client, socket.create_connection(self.server) as server, suppress(OSError):  # the sender was killed
            threading.Thread(target=forward, args=(client, server, sent), daemon=True).start()
            while answer := server.recv(65_536):
                client.sendall(answer)
                if data and answer.startswith(b"250") and (name := KEY.search(sent)):
                    event = (sender, name[1].decode(), time.time())
                    # In a thread, so that the connection continues meanwhile.
                    threading.Thread(target=self.accepted, args=event, daemon=True).start()
                data = answer.startswith(b"354")


def forward(client: socket.socket, server: socket.socket, sent: bytearray) -> None:
    """Copy from the client to the server until the client disconnects."""
    with suppress(OSError):
        while chunk := client.recv(65_536):
            sent += chunk
            server.sendall(chunk)
        server.shutdown(socket.SHUT_WR)
