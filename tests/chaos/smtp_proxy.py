"""A line to the mail server on which one can listen: who sends which mail, and when its 250 goes out."""

import re
import socket
import threading
from collections.abc import Callable

KEY = re.compile(rb"^Message-ID:\s*<([^@]+)@", re.MULTILINE | re.IGNORECASE)


class Proxy:
    """Passes connections on to the real server. `connected` is told the sender's port, and returns the process that
    it is; `accepted` is told that process and the mail's key in the instant after its 250 was sent."""

    def __init__(self, server: tuple[str, int], connected: Callable[[int], int], accepted: Callable[[int, str], None]):
        self.server, self.connected, self.accepted = server, connected, accepted
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            client, (_, port) = self.listener.accept()
            threading.Thread(target=self.serve, args=(client, port), daemon=True).start()

    def serve(self, client: socket.socket, port: int) -> None:
        """One conversation: what the client says is kept, so that the mail's key is known when it is accepted."""
        sender, said = self.connected(port), bytearray()
        with client, socket.create_connection(self.server) as server:
            threading.Thread(target=pass_on, args=(client, server, said), daemon=True).start()
            data = False
            try:
                while answer := server.recv(65_536):
                    client.sendall(answer)
                    if data and answer.startswith(b"250") and (key := KEY.search(said)):
                        # In a thread of its own: the conversation goes on meanwhile.
                        threading.Thread(target=self.accepted, args=(sender, key[1].decode()), daemon=True).start()
                    data = answer.startswith(b"354")
            except OSError:
                pass  # a sender that was killed


def pass_on(client: socket.socket, server: socket.socket, said: bytearray) -> None:
    """What the client says, to the server, until it goes."""
    try:
        while chunk := client.recv(65_536):
            said += chunk
            server.sendall(chunk)
        server.shutdown(socket.SHUT_WR)
    except OSError:
        pass
