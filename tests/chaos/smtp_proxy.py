"""A line to the mail server on which one can listen: who sends a mail, and when its 250 goes out."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Proxy:
    """Passes connections on to the real server. `connected` is told the sender's port, and returns the process that
    it is; `accepted` is told that process in the instant after the 250 to a mail was sent to it."""

    def __init__(self, server: tuple[str, int], connected: Callable[[int], int], accepted: Callable[[int], None]):
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
        sender, data = self.connected(port), False
        with client, socket.create_connection(self.server) as server, suppress(OSError):  # of a sender that was killed
            threading.Thread(target=pass_on, args=(client, server), daemon=True).start()
            while answer := server.recv(65_536):
                client.sendall(answer)
                if data and answer.startswith(b"250"):
                    # In a thread of its own: the conversation goes on meanwhile.
                    threading.Thread(target=self.accepted, args=(sender,), daemon=True).start()
                data = answer.startswith(b"354")


def pass_on(client: socket.socket, server: socket.socket) -> None:
    """What the client says, to the server, until it goes."""
    with suppress(OSError):
        while chunk := client.recv(65_536):
            server.sendall(chunk)
        server.shutdown(socket.SHUT_WR)
