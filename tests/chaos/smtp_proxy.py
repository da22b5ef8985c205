"""A line to the mail server on which one can listen: who sends a mail, and when its 250 goes out."""

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

KEY = re.compile(rb"^Message-ID:\s*<([^@]+)@", re.MULTILINE | re.IGNORECASE)


class Proxy:
    """Passes connections on to the real server. `connected` is told the sender's port, and returns the process that
    it is; `accepted` is told that process, the mail's name and the time in the instant after its 250 was sent."""

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
        """One conversation."""
        sender, data, said = self.connected(port), False, bytearray()
        with client, socket.create_connection(self.server) as server, suppress(OSError):  # of a sender that was killed
            threading.Thread(target=pass_on, args=(client, server, said), daemon=True).start()
            while answer := server.recv(65_536):
                client.sendall(answer)
                if data and answer.startswith(b"250") and (name := KEY.search(said)):
                    told = (sender, name[1].decode(), time.time())
                    # In a thread of its own: the conversation goes on meanwhile.
                    threading.Thread(target=self.accepted, args=told, daemon=True).start()
                data = answer.startswith(b"354")


def pass_on(client: socket.socket, server: socket.socket, said: bytearray) -> None:
    """What the client says, to the server, until it goes."""
    with suppress(OSError):
        while chunk := client.recv(65_536):
            said += chunk
            server.sendall(chunk)
        server.shutdown(socket.SHUT_WR)
